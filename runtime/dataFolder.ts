// The files in the data folder that let commands find a running instance: token and ports.json.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MillraceError, messageOf } from '../engine/errors.ts';
import type { RunningInfo } from './messages.ts';

/** Only the owner may look: the token lies here, and the devices' data. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/**
 * Creates the data folder and the token when they are missing.
 *
 * Errors  E_CONFIG when the folder cannot be made or written
 */
export function prepareDataFolder(dir: string): void {
  try {
    if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() === false) throw new Error('it is a file');
    mkdirSync(dir, { recursive: true, mode: FOLDER_MODE });
    const token = join(dir, 'token');
    if (!existsSync(token)) writeNew(token, `${randomBytes(32).toString('hex')}\n`);
  } catch (error) {
    throw new MillraceError('E_CONFIG', `the data folder ${dir} cannot be used: ${messageOf(error)}`, { cause: error });
  }
}

/** Written whole or not at all, and never over a file that another process wrote meanwhile. */
function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: FILE_MODE, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** What the running instance's HTTP side wants as a bearer token. Errors: E_NOT_RUNNING when there is none yet. */
export function readToken(dir: string): string {
  try {
    return readFileSync(join(dir, 'token'), 'utf8').trim();
  } catch (error) {
    throw new MillraceError('E_NOT_RUNNING', `no millrace has run on ${dir}: ${messageOf(error)}`, { cause: error });
  }
}

/** Says where the running instance listens, for `query` and `publish`. */
export function writePorts(info: RunningInfo): void {
  const path = join(info.data, 'ports.json');
  writeFileSync(`${path}.new`, `${JSON.stringify(info)}\n`, { mode: FILE_MODE });
  renameSync(`${path}.new`, path);
  chmodSync(path, FILE_MODE);
}

/** Removes ports.json if it is this process's. */
export function removePorts(dir: string, pid: number): void {
  if (readPorts(dir)?.pid === pid) rmSync(join(dir, 'ports.json'), { force: true });
}

/** ports.json, undefined when it is missing or half a file. Its writer may be dead. */
export function readPorts(dir: string): RunningInfo | undefined {
  try {
    const info = JSON.parse(readFileSync(join(dir, 'ports.json'), 'utf8')) as RunningInfo;
    return typeof info?.pid === 'number' ? info : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Where the instance that runs on this data folder listens.
 *
 * Errors  E_NOT_RUNNING
 */
export function runningOn(dir: string): RunningInfo {
  const info = readPorts(dir);
  if (info === undefined) throw new MillraceError('E_NOT_RUNNING', `nothing runs on the data folder ${dir}`);
  if (!isAlive(info.pid)) throw new MillraceError('E_NOT_RUNNING', `what ran on the data folder ${dir} (process ${info.pid}) is gone`);
  return info;
}

/** Whether a process of this id lives, ours or somebody else's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
