// Signs beside words, drawn on a field of 24; never the only bearer of a meaning.
const PATHS = {
  ai: "M12 3v3M8 8h8a2 2 0 0 1 2 2v6a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2v-6a2 2 0 0 1 2-2zM9.5 12v1.5M14.5 12v1.5M3 12v3M21 12v3",
  caller: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21a8 8 0 0 1 11-7.4M17 15v6M20 17v2",
  think: "M5 12h.01M12 12h.01M19 12h.01",
  ring: "M6 8a6 6 0 0 1 12 0c0 6 3 7 3 7H3s3-1 3-7M10 20a2.2 2.2 0 0 0 4 0",
  person: "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM2 21v-2a5 5 0 0 1 5-5h4a5 5 0 0 1 5 5v2M16 3.3a4 4 0 0 1 0 7.4M22 21v-2a5 5 0 0 0-3.5-4.8",
  phone: "M5 4h4l2 5-2.500 1.500a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2",
  hangup: "M3 14.500c5-5 13-5 18 0l-2.500 2.500-4-1.500v-2.700a12 12 0 0 0-5 0v2.700l-4 1.500z",
  handoff: "M14 5l6 6-6 6M20 11H9a5 5 0 0 0-5 5v3",
  listen: "M4 14v-2a8 8 0 0 1 16 0v2M4 14h3v6H5a1 1 0 0 1-1-1zM20 14h-3v6h2a1 1 0 0 0 1-1z",
  step: "M6 4v10a3 3 0 0 0 3 3h10M15 13l4 4-4 4",
  tool: "M14.500 6.500a4 4 0 0 1-5.300 5.300L4 17l3 3 5.200-5.200a4 4 0 0 1 5.300-5.300l-2.700 2.700-2.200-.500-.500-2.200z",
  key: "M6 5h.01M12 5h.01M18 5h.01M6 11h.01M12 11h.01M18 11h.01M6 17h.01M12 17h.01M18 17h.01",
  alert: "M12 9v4M12 17h.01M10.300 4 2.500 18a2 2 0 0 0 1.700 3h15.600a2 2 0 0 0 1.700-3L13.700 4a2 2 0 0 0-3.400 0z",
  back: "M19 12H5M11 18l-6-6 6-6",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  help: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM9.500 9.500a2.500 2.500 0 1 1 3.500 2.300c-.700.300-1 .900-1 1.700M12 17h.01",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.500v15l12-7.500z",
  note: "M4 5h16v11H9l-5 4z",
  out: "M9 21H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2h4M16 17l5-5-5-5M21 12H9",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon ${name === "think" || name === "key" ? "dots" : ""}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="#1d4fd7" />
      <path d="M17 4 8 18h6l-1 10 10-15h-7z" fill="#fff" />
    </svg>
  );
}
