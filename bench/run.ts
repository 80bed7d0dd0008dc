// npm run bench [-- NAME…] [--list] [--profile]: runs benches one at a time on one core, prints their figures, keeps them as JSON.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hotSpots } from './hotSpots.ts';
import { type BenchResult, betterOf, type Figure, reached } from './result.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
/** The core that a bench gets; what loads it pins itself to another one. */
const CORE = '0';

/** Where the compiled benches go. Measured is what tsc makes of the code, for that is what users run, not what a loader makes of it. */
const COMPILED = join(here, '../.bench');

interface Bench {
  readonly name: string;
  readonly file: string;
  readonly compiled: string;
}

function compile(): void {
  rmSync(COMPILED, { recursive: true, force: true });
  const { status } = spawnSync('npx', ['tsc', '-p', 'tsconfig.bench.json'], { stdio: 'inherit', cwd: join(here, '..') });
  if (status !== 0) throw new Error('the benches do not compile');
}

/** Every module of this folder that exports `name`, a literal, and `run`. Read as text: what is broken breaks only itself. */
function findBenches(): readonly Bench[] {
  const benches: Bench[] = [];
  for (const entry of readdirSync(here).sort()) {
    const file = join(here, entry);
    if (!entry.endsWith('.ts')) continue;
    const text = readFileSync(file, 'utf8');
    const name = /^export const name(?:: string)? = '([^']+)';/m.exec(text)?.[1];
    const compiled = join(COMPILED, 'bench', entry.replace(/\.ts$/, '.js'));
    if (name !== undefined && /^export (?:async )?(?:function|const) run\b/m.test(text)) benches.push({ name, file, compiled });
  }
  return benches;
}

/** The command that keeps a process on one core, where the system has it. */
function pinned(): readonly string[] {
  return spawnSync('taskset', ['-c', CORE, 'true']).status === 0 ? ['taskset', '-c', CORE] : [];
}

/** Runs one bench in a process of its own, so that no other bench has warmed or filled it. */
async function runAlone({ name, compiled }: Bench, profile: boolean): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const out = join(folder, 'result.json');
  const script = `import { writeFileSync } from 'node:fs';
    const { run } = await import(${JSON.stringify(pathToFileURL(compiled).href)});
    writeFileSync(${JSON.stringify(out)}, JSON.stringify(await run()));
    process.exit(0);`;
  const profiling = profile ? ['--cpu-prof', `--cpu-prof-dir=${folder}`] : [];
  const node = [process.execPath, ...profiling, '--expose-gc', '--input-type=module', '--eval', script] as const;
  const [program, ...args] = [...pinned(), ...node] as unknown as readonly [string, ...string[]];
  try {
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'], cwd: join(here, '..') });
    const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('exit', done));
    if (code !== 0) throw new Error(`bench ${name} ended with exit code ${code}`);
    if (profile)
      for (const { name: where, share, ms } of hotSpots(folder, 30))
        console.log(`  ${(share * 100).toFixed(1).padStart(5)} %  ${ms.toFixed(0).padStart(7)} ms  ${where}`);
    return JSON.parse(readFileSync(out, 'utf8')) as BenchResult;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Versions of what the product is made of, as installed. */
function dependencyVersions(): Readonly<Record<string, string>> {
  const manifest = JSON.parse(readFileSync(join(here, '../package.json'), 'utf8')) as { dependencies: Record<string, string> };
  return Object.fromEntries(
    Object.keys(manifest.dependencies).map((name) => [
      name,
      (JSON.parse(readFileSync(join(here, '../node_modules', name, 'package.json'), 'utf8')) as { version: string }).version,
    ]),
  );
}

/** What was measured, and on what: enough to compare, nothing that names a place. */
function report(result: BenchResult): unknown {
  const [first] = cpus();
  return {
    ...result,
    date: new Date().toISOString(),
    machine: {
      cpu: first?.model ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      platform: `${process.platform} ${process.arch}`,
      pinnedToOneCore: pinned().length > 0,
    },
    node: process.version,
    dependencies: dependencyVersions(),
  };
}

const number = new Intl.NumberFormat('en', { maximumSignificantDigits: 4 });

/** One line of the printed table. */
function row(name: string, figure: Figure): readonly string[] {
  const runs = figure.runs ?? [];
  const met = reached(figure);
  return [
    name,
    `${number.format(figure.value)} ${figure.unit}`,
    figure.target === undefined ? '' : `${betterOf(figure) === 'lower' ? '≤' : '≥'} ${number.format(figure.target)}`,
    met === undefined ? '' : met ? '✓' : '✗',
    runs.length < 2 ? '' : `${runs.length} runs, ${number.format(Math.min(...runs))} … ${number.format(Math.max(...runs))}`,
  ];
}

function print({ name, figures, notes }: BenchResult): void {
  const rows = Object.entries(figures).map(([figureName, one]) => row(figureName, one));
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)));
  console.log(`\n${name}`);
  for (const cells of rows) console.log(`  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
  if (notes !== undefined) console.log(`  ${notes}`);
}

async function main(args: readonly string[]): Promise<void> {
  const benches = findBenches();
  const profile = args.includes('--profile');
  const wanted = args.filter((arg) => arg !== '--list' && arg !== '--profile');
  if (args.includes('--list')) return void benches.forEach(({ name, file }) => console.log(`${name.padEnd(20)} bench/${basename(file)}`));
  const unknown = wanted.find((name) => !benches.some((bench) => bench.name === name));
  if (unknown !== undefined) {
    console.error(`no bench '${unknown}'; there are ${benches.map(({ name }) => name).join(', ')}`);
    process.exitCode = 2;
    return;
  }
  mkdirSync(join(here, 'results'), { recursive: true });
  compile();
  for (const bench of benches.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const result = await runAlone(bench, profile);
    print(result);
    // Figures under the profiler are not figures.
    if (!profile) writeFileSync(join(here, 'results', `${bench.name}.json`), `${JSON.stringify(report(result), null, 2)}\n`);
  }
}

await main(process.argv.slice(2));
