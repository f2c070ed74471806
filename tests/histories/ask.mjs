// Asks semantic-release and release-please about repositories: `node ask.mjs NODE_MODULES < questions.json`.
//
// A question: `folder` (a work tree, with `remote` beside it), `prerelease` (what it is named, or null), `channels`, and
// for release-please, which asks GitHub for them, `last` (the highest version in the history, or null) and the
// `commits` since then.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { Writable } from "node:stream";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const modules = resolve(process.argv[2]);
const require = createRequire(join(modules, "index.js"));
const semanticRelease = (await import(pathToFileURL(join(modules, "semantic-release", "index.js")))).default;
const please = (path) => require(join(modules, "release-please", "build", "src", path));
const { parseConventionalCommits } = please("commit.js");
const { DefaultVersioningStrategy } = please("versioning-strategies/default.js");
const { PrereleaseVersioningStrategy } = please("versioning-strategies/prerelease.js");
const { DefaultChangelogNotes } = please("changelog-notes/default.js");
const { Version } = please("version.js");
const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

async function askSemanticRelease({ folder, remote, channels }) {
  const lines = ["+([0-9])?(.{+([0-9]),x}).x", "next", "next-major"].filter((name) => !(name in channels));
  const stable = "main" in channels ? "stable" : "main";
  const main = [stable, ...Object.entries(channels).map(([name, prerelease]) => ({ name, prerelease }))];
  const said = [];
  const stream = new Writable({ write: (chunk, _, done) => (said.push(String(chunk)), done()) });
  try {
    const result = await semanticRelease(
      { branches: [...lines, ...main], repositoryUrl: pathToFileURL(remote).href, dryRun: true, ci: false,
        plugins: [["@semantic-release/commit-analyzer", { preset: "conventionalcommits" }]] },
      { cwd: folder, env: { ...process.env, GIT_TERMINAL_PROMPT: "0" }, stdout: stream, stderr: stream },
    );
    if (result) return result.nextRelease.version;
    return said.join("").includes("configured to only publish from") ? "refused" : "nothing";
  } catch (error) {
    if (process.env.SHOW) console.error(folder, error, said.join(""));
    return "refused";
  }
}

const namedBy = (parsed) => {
  const note = parsed.flatMap((commit) => commit.notes).find((note) => note.title === "RELEASE AS");
  return note && Version.parse(note.text);
};

// As its base strategy does it: no conventional commits, or notes with nothing in them, are nothing to release.
async function askReleasePlease({ prerelease, last, commits }) {
  const parsed = parseConventionalCommits(commits, quiet);
  if (!parsed.length) return "nothing";
  const Strategy = prerelease ? PrereleaseVersioningStrategy : DefaultVersioningStrategy;
  const strategy = new Strategy({ prereleaseType: `${prerelease}.1`, prerelease: true, logger: quiet });
  let next;
  try {
    next = last ? strategy.bump(Version.parse(last), parsed) : (namedBy(parsed) ?? Version.parse("1.0.0"));
  } catch {
    return "refused"; // it cannot read what a Release-As says
  }
  const notes = await new DefaultChangelogNotes().buildNotes(parsed, {
    owner: "o", repository: "r", version: next.toString(), currentTag: `v${next}`, previousTag: last && `v${last}`,
    targetBranch: "main", changelogSections: undefined, commits,
  });
  return notes.split("\n").length <= 1 ? "nothing" : next.toString();
}

const answers = [];
for (const question of JSON.parse(readFileSync(0, "utf8"))) {
  answers.push({
    "semantic-release": await askSemanticRelease(question),
    "release-please": await askReleasePlease(question),
  });
}
process.stdout.write(JSON.stringify(answers));
