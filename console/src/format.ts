// How figures are shown. All of it is English; numbers and dates follow the browser's language.

/** A length of time: `0:42`, `12:05`, `1:02:07`. */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The same for those who hear it: `1 minute 5 seconds`. */
export function spokenClock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 3600), "hour"],
    [Math.floor(seconds / 60) % 60, "minute"],
    [seconds % 60, "second"],
  ];
  const told = parts.filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`);
  return told.join(" ") || "0 seconds";
}

/** A short time: `840 ms`, `1.3 s`. */
export function brief(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** How a response time feels to a caller: up to 0.8 s like a person, above 1.5 s like a bad line. */
export function pace(ms: number): "good" | "fair" | "slow" {
  return ms < 800 ? "good" : ms < 1500 ? "fair" : "slow";
}

/** An amount of money; small ones to a hundredth of a cent. `currency`: ISO 4217, else its own name. */
export function money(amount: number, currency: string): string {
  const digits = amount !== 0 && Math.abs(amount) < 1 ? 4 : 2;
  try {
    return new Intl.NumberFormat(undefined, {
      style: "currency",
      currency,
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    }).format(amount);
  } catch {
    return `${amount.toFixed(digits)} ${currency}`.trim(); // no ISO 4217 code
  }
}

/** A moment of today by its time alone, another with its date. */
export function moment(iso: string, now = new Date()): string {
  const at = new Date(iso);
  const time = at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === now.toDateString()) return time;
  const year = at.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  return `${at.toLocaleDateString(undefined, { day: "numeric", month: "short", ...year })}, ${time}`;
}

/** A word of a file for people: `caller_hung_up` is `caller hung up`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** A value of a variable in one line. */
export function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** The middle one of some figures at a share (0.5: the median); none: null. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null;
}
