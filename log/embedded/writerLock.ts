// Who writes a data folder: one process at a time, and a dead one's claim is taken over.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MillraceError } from '../../engine/errors.ts';

/** A process that cannot be mistaken for a later one with the same pid. The last two are empty on systems without /proc. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start, as /proc says. */
  readonly startTime: string;
  readonly bootId: string;
}

const LOCK_FILE = 'log.lock';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The identity of a process; undefined when there is no such process, or only its remains. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const bootId = (read('/proc/sys/kernel/random/boot_id') ?? '').trim();
  const stat = read(`/proc/${pid}/stat`);
  if (stat !== undefined) {
    // The second field is the program's name in brackets, which may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const isDead = fields[0] === 'Z' || fields[0] === 'X';
    return isDead ? undefined : { pid, startTime: fields[19] ?? '', bootId };
  }
  if (bootId !== '') return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined;
  }
  return { pid, startTime: '', bootId: '' };
}

function isSame(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startTime === b.startTime && a.bootId === b.bootId;
}

/** The living process that holds the folder, if any. A lock nobody can read counts as nobody's: it was never finished. */
export function liveWriter(dir: string): ProcessIdentity | undefined {
  const text = read(join(dir, LOCK_FILE));
  if (text === undefined) return undefined;
  let held: Partial<ProcessIdentity>;
  try {
    held = JSON.parse(text) as Partial<ProcessIdentity>;
  } catch {
    return undefined;
  }
  if (!Number.isSafeInteger(held.pid)) return undefined;
  const now = identityOf(held.pid as number);
  return now !== undefined && isSame(now, held as ProcessIdentity) ? now : undefined;
}

/**
 * Takes the folder for this process. The caller holds the one mutex that all openers share (LMDB's), so that between
 * reading a stale lock and replacing it nobody else can do the same. Returns what releases it.
 *
 * Errors  E_LOCKED, naming the process that holds it
 */
export function takeWriterLock(dir: string): () => void {
  const holder = liveWriter(dir);
  if (holder !== undefined) {
    const whose = holder.pid === process.pid ? 'this process itself' : `process ${holder.pid}`;
    throw new MillraceError('E_LOCKED', `data folder ${dir} is written by ${whose} already`);
  }
  const mine = identityOf(process.pid) ?? { pid: process.pid, startTime: '', bootId: '' };
  const path = join(dir, LOCK_FILE);
  const written = `${path}.${process.pid}`;
  writeFileSync(written, `${JSON.stringify(mine)}\n`, { mode: 0o600 });
  renameSync(written, path);
  return () => {
    const now = liveWriter(dir);
    if (now !== undefined && isSame(now, mine)) rmSync(path, { force: true });
  };
}
