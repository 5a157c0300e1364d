// The engine's REST API. Every failure is an `ApiError`, whose message can be shown.
import type { Problem, Session } from "./contract.ts";

const BASE = "/api/v1";
let csrf: string | null = null;
let refused = () => {};

/** Be told when the session is over. */
export function onRefused(listener: () => void): void {
  refused = listener;
}

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number, // 0: the engine was not reached
    readonly reasons: string[] = [],
  ) {
    super(message);
  }
}

/** The session of this browser; null when there is none. */
export async function whoAmI(): Promise<Session | null> {
  try {
    return kept(await get<Session>("/session"));
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

export async function logIn(token: string): Promise<Session> {
  return kept(await request<Session>("POST", "/session", { token }));
}

export async function logOut(): Promise<void> {
  await request("DELETE", "/session");
  csrf = null;
}

export function get<T>(path: string): Promise<T> {
  return request<T>("GET", path);
}

/** An action that must happen once, however often it is sent. */
export function act<T>(path: string, body?: unknown): Promise<T> {
  return request<T>("POST", path, body, { "Idempotency-Key": unique() });
}

export function callUrl(id: string, rest = ""): string {
  return `/calls/${encodeURIComponent(id)}${rest}`;
}

export function eventsUrl(call: string | null): string {
  return `${BASE}/events${call === null ? "" : `?call=${encodeURIComponent(call)}`}`;
}

async function request<T>(method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json", ...more };
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(BASE + path, { method, headers, cache: "no-store", ...(body !== undefined && { body: JSON.stringify(body) }) });
  } catch {
    throw new ApiError("The engine cannot be reached.", 0);
  }
  if (answer.status === 401 && path !== "/session") refused();
  if (!answer.ok) throw await problem(answer);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

async function problem(answer: Response): Promise<ApiError> {
  const told = (await answer.json().catch(() => null)) as Problem | null;
  const reasons = told?.reasons ?? [];
  let text = told?.detail || told?.title || `The engine answered ${answer.status}.`;
  const wait = answer.headers.get("Retry-After");
  if (answer.status === 429 && wait) text += ` Try again in ${wait} s.`;
  const [first = "", ...rest] = [text, ...reasons].filter(Boolean);
  return new ApiError([first, ...rest].join("; "), answer.status, reasons);
}

function kept(session: Session): Session {
  csrf = session.csrf;
  return session;
}

/** A key nobody else uses. `crypto.randomUUID` is only there in secure contexts. */
function unique(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
