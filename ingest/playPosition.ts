// player.json: how far each played file got. Only what was acknowledged counts.
import { readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { MillraceError, messageOf } from '../engine/errors.ts';
import type { PlaySource } from './playSource.ts';

interface Entry {
  /** For people: what was played. */
  readonly name: string;
  /** Publishes acknowledged, counted from the beginning without a gap. */
  readonly position: number;
  readonly count: number;
}

/** Where one file stands. */
export interface PlayPosition {
  readonly position: number;
  /** Remembers: written to a new file, synced, renamed over the old one. One at a time. Errors: E_PLAY when the disk refuses */
  write(position: number): Promise<void>;
}

/**
 * Opens the position file, which holds an entry per file content: playing something else in between loses nothing.
 *
 * Errors  E_PLAY when the file is there but cannot be read: starting over by itself would publish everything twice
 */
export function openPlayPosition(path: string, source: PlaySource): PlayPosition {
  const plays = readPlays(path);
  return {
    position: Math.min(plays.get(source.hash)?.position ?? 0, source.count),
    async write(position) {
      plays.set(source.hash, { name: source.name, position, count: source.count });
      await replaceFile(path, `${JSON.stringify({ version: 1, plays: Object.fromEntries(plays) }, null, 2)}\n`);
    },
  };
}

function readPlays(path: string): Map<string, Entry> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new MillraceError('E_PLAY', `${path}: cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    const { version, plays } = JSON.parse(text) as { version: unknown; plays: Record<string, Entry> };
    const entries = Object.entries(plays);
    if (version !== 1 || !entries.every(([, { position }]) => Number.isSafeInteger(position) && position >= 0))
      throw new Error('not as we write it');
    return new Map(entries);
  } catch (error) {
    throw new MillraceError(
      'E_PLAY',
      `${path}: ${messageOf(error)}; it says how far files were played: delete it to play them from the beginning`,
    );
  }
}

async function replaceFile(path: string, text: string): Promise<void> {
  try {
    const draft = `${path}.new`;
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    throw new MillraceError('E_PLAY', `${path}: cannot be written: ${messageOf(error)}`, { cause: error });
  }
}
