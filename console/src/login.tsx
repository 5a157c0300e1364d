// The form that asks for a token.
import { useState } from "preact/hooks";
import { type ApiError, logIn } from "./api.ts";
import { Mark } from "./icons.tsx";
import { Field } from "./parts.tsx";
import { session } from "./store.ts";

export function Login() {
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get("token") as string;
    setBusy(true);
    setProblem("");
    try {
      session.value = await logIn(token.trim());
    } catch (error) {
      const { status, message } = error as ApiError;
      setProblem(status === 401 ? "This token is not known. Check that all of it was copied." : message);
      setBusy(false);
    }
  }
  return (
    <main class="login">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <h1 class="brand">
          <Mark /> Hookflash
        </h1>
        <p class="muted">See live calls, listen, and bring in a person.</p>
        <Field label="Your token">
          <input
            name="token"
            type="password"
            required
            autocomplete="current-password"
            aria-describedby={problem ? "problem" : undefined}
            aria-invalid={problem ? true : undefined}
          />
        </Field>
        <div role="alert">
          {problem && (
            <p class="notice bad" id="problem">
              {problem}
            </p>
          )}
        </div>
        <button type="submit" class="primary" disabled={busy}>
          Log in
        </button>
        <p class="muted">
          No token? Who runs the engine makes one: <code>hookflash token create NAME --role supervisor</code>
        </p>
      </form>
    </main>
  );
}
