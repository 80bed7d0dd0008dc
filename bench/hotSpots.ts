// Where the time went: the functions of a CPU profile by the time spent in themselves.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The parts of V8's .cpuprofile format that are read. Source: Chrome DevTools Protocol, Profiler.Profile. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  /** Unit: µs. */
  readonly timeDeltas: readonly number[];
}

/** A function and its share of the profiled time. */
export interface HotSpot {
  readonly name: string;
  readonly share: number;
  readonly ms: number;
}

/** The hottest functions over all profiles of a folder. */
export function hotSpots(folder: string, count: number): readonly HotSpot[] {
  const spent = new Map<string, number>();
  let total = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
    const names = new Map(
      nodes.map(({ id, callFrame: { functionName, url } }) => [id, `${functionName || '(anonymous)'} ${placeOf(url)}`.trim()]),
    );
    samples.forEach((id, i) => {
      const us = timeDeltas[i] ?? 0;
      const name = names.get(id) ?? '?';
      if (name === '(idle)') return;
      spent.set(name, (spent.get(name) ?? 0) + us);
      total += us;
    });
  }
  return [...spent]
    .sort(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([name, us]) => ({ name, share: us / total, ms: us / 1_000 }));
}

/** `engine/task.ts`, or `rxjs/dist/…` for a package: nothing of the machine's folders. */
function placeOf(url: string): string {
  const inPackage = /.*\/node_modules\/(.*)$/.exec(url)?.[1];
  if (inPackage !== undefined) return inPackage;
  const root = new URL('..', import.meta.url).href;
  return url.startsWith(root) ? url.slice(root.length).replace(/\?.*$/, '') : url.replace(/^file:.*\//, '');
}
