// import 'millrace' must stay light: a pipeline file is read by tools that never open a log or a database.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Finding } from './source.ts';

/** Most modules of ours that `import 'millrace'` may load; fewer than 60 are allowed. */
const MODULES_MAX = 59;
/** Packages that only the adapters load. */
const HEAVY = ['mqtt', 'mqtt-packet', 'aedes', 'kafkajs', 'lmdb', 'msgpackr', 'pino', 'hono', '@hono/node-server', 'prom-client', 'luxon'];
const HEAVY_SCOPES = ['@duckdb/', '@lmdb/', '@node-rs/', '@msgpackr-extract/', '@harperfast/'];

/** What importing a module loaded. */
export interface Loaded {
  /** Files of the repository, relative to it. */
  readonly ours: readonly string[];
  /** Names of packages. */
  readonly packages: readonly string[];
  /** Paths of native add-ons. */
  readonly native: readonly string[];
}

/** Imports `entry` in a process of its own, with tsx, and says what that loaded. Throws when the import fails. */
export function loadedBy(entry: string, root: string): Loaded {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-tidy-'));
  const out = join(folder, 'loaded.json');
  try {
    const recorder = fileURLToPath(new URL('./recordLoads.ts', import.meta.url));
    const { status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', recorder, pathToFileURL(entry).href, out], {
      cwd: root,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`import of ${entry} failed:\n${stderr}`);
    const { urls, native } = JSON.parse(readFileSync(out, 'utf8')) as { urls: string[]; native: string[] };
    return sorted(urls, native, root);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function sorted(urls: readonly string[], native: readonly string[], root: string): Loaded {
  const ours = new Set<string>();
  const packages = new Set<string>();
  const rootUrl = pathToFileURL(`${root}/`).href;
  for (const url of urls) {
    const path = url.replace(/[?#].*$/, '');
    const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    if (name !== undefined) packages.add(name);
    else if (path.startsWith(rootUrl)) ours.add(path.slice(rootUrl.length));
  }
  return { ours: [...ours], packages: [...packages], native };
}

/** What is too heavy about importing `entry`. */
export function startWeight(entry: string, root: string, modulesMax = MODULES_MAX): readonly Finding[] {
  const path = entry.slice(root.length + 1);
  const { ours, packages, native } = loadedBy(entry, root);
  const found: string[] = [];
  if (ours.length > modulesMax)
    found.push(`loads ${ours.length} modules of ours, ${modulesMax} are allowed; keep adapters out of descriptors`);
  for (const name of packages)
    if (HEAVY.includes(name) || HEAVY_SCOPES.some((scope) => name.startsWith(scope)))
      found.push(`loads the package ${name}; put the descriptor into a file that does not import it`);
  for (const file of native) found.push(`loads native code: ${file.replace(/.*node_modules\//, '')}`);
  return found.map((message) => ({ path, line: 1, rule: 'start-weight', message }));
}
