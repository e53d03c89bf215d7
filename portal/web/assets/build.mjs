// Builds portal/web/static/dist: app.css, app.js with its chunks, the icon sprite and manifest.json (plain name → hashed name).
import {createHash} from "node:crypto";
import {existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, watch, writeFileSync} from "node:fs";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import {gzipSync} from "node:zlib";
import esbuild from "esbuild";
import {PurgeCSS} from "purgecss";

const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(here, "../static/dist");
const modules = join(here, "node_modules");

/** What of Tabler is used: its variables, its reset of the elements, and these classes. The rest is our own, in css/. */
const USED = ["btn", "btn-primary", "btn-danger", "btn-sm", "card", "form-control", "form-select", "form-check-input", "visually-hidden", "visually-hidden-focusable", "is-invalid"];
const ELEMENTS = "html body a abbr address article aside b blockquote button caption code dd del details dialog div dl dt em fieldset figure footer form h1 h2 h3 h4 header hr i iframe img input ins kbd label legend li main mark nav ol optgroup option output p pre progress section select small span strong sub summary sup svg table tbody td textarea tfoot th thead tr ul video";

async function tabler() {
  const css = readFileSync(join(modules, "@tabler/core/dist/css/tabler.min.css"), "utf8");
  const [result] = await new PurgeCSS().purge({
    content: [{raw: `<${ELEMENTS.split(" ").join("><")}><i class="${USED.join(" ")}">`, extension: "html"}],
    css: [{raw: css}],
    safelist: {standard: [/^data-bs-theme/, "type", "hidden", "role"], variables: []},
    blocklist: [/^(?!btn|card|form-|visually|is-invalid)[a-z]+(?:-[\w-]+)+$/],
    variables: true, keyframes: true, fontFace: true,
  });
  return result.css.replace(/@charset "UTF-8";/g, "").replace(/\/\*[#!][\s\S]*?\*\//g, "");
}

function sprite() {
  const names = readFileSync(join(here, "icons.txt"), "utf8").split("\n").filter((line) => line && !line.startsWith("#"));
  const symbols = [...new Set(names)].sort().map((name) => {
    const file = join(modules, "@tabler/icons/icons/outline", `${name}.svg`);
    if (!existsSync(file)) throw new Error(`icons.txt: Tabler has no icon named ${name}`);
    const body = readFileSync(file, "utf8").replace(/^[\s\S]*?<svg[\s\S]*?>/, "").replace(/<\/svg>\s*$/, "").replace(/\s*\n\s*/g, "").replace(/<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*\/>/, "");
    return `<symbol id="${name}" viewBox="0 0 24 24">${body}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>`;
}

function hashed(name, text) {
  const [stem, ext] = [name.slice(0, name.lastIndexOf(".")), name.slice(name.lastIndexOf("."))];
  const file = `${stem}.${createHash("sha256").update(text).digest("hex").slice(0, 10)}${ext}`;
  writeFileSync(join(dist, file), text);
  return file;
}

async function build() {
  const started = Date.now();
  mkdirSync(dist, {recursive: true});
  const old = new Set(readdirSync(dist));
  const manifest = {};

  const scripts = await esbuild.build({
    entryPoints: [join(here, "src/app.ts")],
    outdir: dist, bundle: true, splitting: true, format: "esm", minify: true, target: "es2022", metafile: true,
    entryNames: "[name].[hash]", chunkNames: "part-[name].[hash]", legalComments: "none", logLevel: "warning",
  });
  for (const [out, info] of Object.entries(scripts.metafile.outputs)) {
    old.delete(out.split("/").pop());
    if (info.entryPoint?.endsWith("src/app.ts")) manifest["app.js"] = out.split("/").pop();
  }

  const kit = await tabler();
  const styles = await esbuild.build({
    stdin: {contents: '@import "kit.css";@import "./css/app.css";', resolveDir: here, loader: "css"},
    bundle: true, minify: true, write: false, target: "es2022", logLevel: "warning",
    plugins: [{
      name: "kit",
      setup(builder) {
        builder.onResolve({filter: /^kit\.css$/}, () => ({path: "kit.css", namespace: "kit"}));
        builder.onLoad({filter: /.*/, namespace: "kit"}, () => ({contents: kit, loader: "css", resolveDir: here}));
      },
    }],
  });
  manifest["app.css"] = hashed("app.css", styles.outputFiles[0].text);
  manifest["icons.svg"] = hashed("icons.svg", sprite());
  manifest["favicon.svg"] = hashed("favicon.svg", readFileSync(join(here, "favicon.svg"), "utf8"));
  // renamed into place, and the files of the build before go last: a running portal never meets a gap
  writeFileSync(join(dist, "manifest.new"), JSON.stringify(manifest, null, 2) + "\n");
  renameSync(join(dist, "manifest.new"), join(dist, "manifest.json"));
  for (const name of [...Object.values(manifest), "manifest.json"]) old.delete(name);
  for (const name of old) rmSync(join(dist, name), {recursive: true, force: true});

  for (const file of readdirSync(dist).sort()) {
    const bytes = readFileSync(join(dist, file));
    console.log(`${file.padEnd(36)} ${(bytes.length / 1024).toFixed(1).padStart(8)} KB  ${(gzipSync(bytes).length / 1024).toFixed(1).padStart(7)} KB gzip`);
  }
  console.log(`built in ${Date.now() - started} ms`);
}

await build();
if (process.argv.includes("--watch")) {
  let timer;
  for (const folder of [join(here, "src"), join(here, "css")]) {
    watch(folder, {recursive: true}, () => {
      clearTimeout(timer);
      timer = setTimeout(() => build().catch((error) => console.error(error.message)), 150);
    });
  }
}
