// Builds the page into engine/console/static (hashed names, the same bytes from the same sources), or, with --tests, the
// tests of its pure parts into var/console/tests. Run by `make console` and `npm test`.
import { build } from "esbuild";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.env.HOOKFLASH_CONSOLE_TARGET ?? join(here, "../engine/console/static");
const LARGEST = 200_000; // bytes of all assets, compressed: what a supervisor's telephone must fetch at most

const shared = {
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  target: ["es2023"],
  jsx: "automatic",
  jsxImportSource: "preact",
  logLevel: "warning",
};

async function page() {
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const folder = join(target, "assets");
  const assets = { ...shared, minify: true, legalComments: "none", outdir: folder, metafile: true };
  const names = { entryNames: "[name]-[hash]", chunkNames: "part-[hash]", assetNames: "[name]-[hash]" };
  // The sound's processor is a script of its own, whose name the page must know: it is built first.
  const worklet = built(await build({ ...assets, ...names, entryPoints: ["src/speaker.ts"] }), "speaker");
  const made = await build({
    ...assets,
    ...names,
    entryPoints: ["src/main.tsx", "src/page.css"],
    splitting: true,
    define: { WORKLET: JSON.stringify(`./${worklet}`) },
  });
  const html = readFileSync(join(here, "src/index.html"), "utf8")
    .replace("SCRIPT", built(made, "main", ".js"))
    .replace("STYLE", built(made, "page", ".css"));
  writeFileSync(join(target, "index.html"), html);
  writeFileSync(join(target, "licences.txt"), licences());
  let total = 0;
  for (const name of readdirSync(folder)) {
    const packed = gzipSync(readFileSync(join(folder, name)), { level: 9 });
    writeFileSync(join(folder, `${name}.gz`), packed);
    total += packed.length;
  }
  if (total > LARGEST) throw new Error(`the page has ${total} bytes compressed, more than ${LARGEST}`);
  console.log(`console: ${(total / 1000).toFixed(1)} kB compressed, in ${target}`);
}

/** The name of the file that an entry point became. */
function built(result, name, suffix = ".js") {
  const found = Object.keys(result.metafile.outputs).map((path) => basename(path));
  const file = found.find((path) => path.startsWith(`${name}-`) && path.endsWith(suffix));
  if (!file) throw new Error(`no ${name} among ${found}`);
  return file;
}

/** The licences of what is bundled: their texts must go where the code goes. */
function licences() {
  const texts = ["preact", "@preact/signals", "@preact/signals-core", "@dagrejs/dagre", "@dagrejs/graphlib", "wavesurfer.js"];
  return texts
    .map((name) => {
      const folder = join(here, "node_modules", name);
      const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
      if (!file) throw new Error(`${name} has no licence file`);
      const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      return `${name} ${version}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}

async function tests() {
  const outdir = join(here, "../var/console/tests");
  rmSync(outdir, { recursive: true, force: true });
  const entryPoints = readdirSync(join(here, "tests")).filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`);
  await build({ ...shared, platform: "node", outdir, outExtension: { ".js": ".mjs" }, entryPoints });
}

await (process.argv.includes("--tests") ? tests() : page());
