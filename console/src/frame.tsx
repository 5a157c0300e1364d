// What is around every view: the head with its navigation, the state of the connection, and words to the supervisor.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { helping } from "./dialog.tsx";
import { moment } from "./format.ts";
import { Icon, Mark } from "./icons.tsx";
import { LIVE, pastPath, route } from "./route.ts";
import * as store from "./store.ts";
import { choose, theme, type Theme } from "./theme.ts";

export function Frame({ children }: { children: ComponentChildren }) {
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <Bar />
      <Banners />
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <Told />
    </>
  );
}

function Bar() {
  const { page } = route.value;
  const session = store.session.value!;
  return (
    <header class="bar">
      <a class="brand" href={LIVE}>
        <Mark /> Hookflash
      </a>
      <nav aria-label="Views">
        <a href={LIVE} aria-current={page === "live" ? "page" : undefined}>
          Live calls
        </a>
        {store.may("history") && (
          <a href={pastPath()} aria-current={page === "past" ? "page" : undefined}>
            Past calls
          </a>
        )}
      </nav>
      <div class="rest">
        <LinkState />
        <ThemeChoice />
        <button type="button" class="plain" onClick={() => (helping.value = true)} aria-label="Keys and help">
          <Icon name="help" />
        </button>
        {session.open ? (
          <span class="muted who" title="No tokens are made: the engine serves this machine alone.">
            this machine only
          </span>
        ) : (
          <>
            <span class="muted who">
              {session.name} · {session.role}
            </span>
            <button type="button" class="plain" onClick={() => void store.logOut()} aria-label="Log out">
              <Icon name="out" />
            </button>
          </>
        )}
      </div>
    </header>
  );
}

const CONNECTION = { live: "Live", connecting: "Connecting", lost: "Not live" } as const;

function LinkState() {
  const state = store.connection.value;
  return (
    <span class={`link-state ${state}`} data-connection={state} title={CONNECTION[state]}>
      <span>{store.paused.value ? "Paused" : CONNECTION[state]}</span>
    </span>
  );
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };

function ThemeChoice() {
  const named = { system: "as the system", light: "light", dark: "dark" }[theme.value];
  return (
    <button
      type="button"
      class="plain"
      aria-label={`Colours: ${named}. Change`}
      title={`Colours: ${named}`}
      onClick={() => choose(NEXT[theme.value])}
    >
      <Icon name="theme" />
    </button>
  );
}

function Banners() {
  const lost = store.connection.value === "lost";
  const since = store.lostAt.value;
  const { engine } = store.board.value;
  return (
    <section aria-label="Notices">
      <div role="alert">
        {lost && (
          <div class="banner" data-banner="lost">
            <Icon name="alert" />
            The connection to the engine is lost{since ? ` since ${moment(new Date(since).toISOString())}` : ""}. What is shown is not live;
            trying again.
          </div>
        )}
      </div>
      {store.paused.value && (
        <div class="banner calm">
          <Icon name="pause" /> Updates are paused: what is shown is not live.
          <button type="button" onClick={() => (store.paused.value = null)}>
            Go on
          </button>
        </div>
      )}
      {store.isOutdated.value && (
        <div class="banner calm">
          <Icon name="alert" /> The engine is another version now: this page may not fit it.
          <button type="button" onClick={() => location.reload()}>
            Load the page again
          </button>
        </div>
      )}
      {!lost && engine && (engine.draining || !engine.ready) && (
        <div class="banner calm">
          <Icon name="alert" /> The engine takes no new calls: {engine.reasons.join("; ") || "it is stopping"}.
        </div>
      )}
    </section>
  );
}

const STAYS = 8_000; // ms

/** The latest word to the supervisor; it goes by itself. */
function Told() {
  const word = store.told.value;
  useEffect(() => {
    if (!word) return;
    const timer = setTimeout(() => store.told.value === word && (store.told.value = null), STAYS);
    return () => clearTimeout(timer);
  }, [word]);
  return (
    <div class="told" role="status">
      {word && <p class={`notice ${word.bad ? "bad" : ""}`}>{word.text}</p>}
    </div>
  );
}
