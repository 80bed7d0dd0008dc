// Who may connect: the users file, and answers that cost one scrypt per user and not one per reconnect.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { isPassword, type PasswordHash, parsePasswordHash } from './password.ts';

export interface Users {
  readonly count: number;
  /** Whether this user has this password. Takes as long for an unknown user as for a wrong password. */
  check(user: string | undefined, password: Uint8Array | undefined): Promise<boolean>;
}

/** Wrong guesses remembered, so that a client that retries for ever costs one scrypt. */
const WRONG_MAX = 10_000;
/** Guesses that may wait for scrypt; more are refused unheard, for scrypt runs on the threads the log flushes on. */
const WAITING_MAX = 1_000;

/** A hash of no password: an unknown user is checked against it, and fails as slowly as a known one. */
const NOBODY = 'scrypt$32768$8$3$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=';

/**
 * Reads a users file: lines `user:hash` with the hash of `hashPassword`; empty lines and lines with `#` first are skipped.
 *
 * Errors  E_CONFIG when it cannot be read, others may read it, or a line is none; names file and line
 */
export async function readUsers(path: string): Promise<Users> {
  const wrong = (why: string) => new MillraceError('E_CONFIG', `users file ${path}: ${why}`);
  let text: string;
  try {
    if (process.platform !== 'win32' && ((await stat(path)).mode & 0o007) !== 0)
      throw wrong('everybody on this machine may open it; chmod 600 it');
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw error instanceof MillraceError ? error : wrong(messageOf(error));
  }
  const hashes = new Map<string, PasswordHash>();
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const colon = line.indexOf(':');
    if (colon < 1) throw wrong(`line ${i + 1}: write user:hash`);
    const user = line.slice(0, colon);
    const hash = parsePasswordHash(line.slice(colon + 1).trim());
    if (hash === undefined) throw wrong(`line ${i + 1}: the part after '${user}:' is not a hash made by hashPassword`);
    if (hashes.has(user)) throw wrong(`line ${i + 1}: user '${user}' is there twice`);
    hashes.set(user, hash);
  });
  if (hashes.size === 0) throw wrong('it names nobody, so nobody could connect');
  return users(hashes);
}

function users(hashes: ReadonlyMap<string, PasswordHash>): Users {
  const nobody = parsePasswordHash(NOBODY) as PasswordHash;
  const secret = randomBytes(32);
  /** What was last found right, per user, under a key that dies with the process. */
  const right = new Map<string, Buffer>();
  const wrong = new Set<string>();
  const checking = new Map<string, Promise<boolean>>();
  let last: Promise<unknown> = Promise.resolve();
  let waiting = 0;

  const derive = (user: string, password: Buffer, guess: Buffer, guessText: string): Promise<boolean> => {
    const stored = hashes.get(user);
    waiting++;
    const answer = last.then(async () => {
      const isRight = (await isPassword(password, stored ?? nobody)) && stored !== undefined;
      if (isRight) right.set(user, guess);
      else if (wrong.add(guessText).size > WRONG_MAX) wrong.delete(wrong.values().next().value as string);
      return isRight;
    });
    const settled = () => {
      waiting--;
      checking.delete(guessText);
    };
    last = answer.then(settled, settled);
    checking.set(guessText, answer);
    return answer;
  };

  return {
    count: hashes.size,
    async check(user, password) {
      if (user === undefined || password === undefined) return false;
      const bytes = Buffer.from(password);
      const guess = createHmac('sha256', secret)
        .update(`${Buffer.byteLength(user)}:${user}:`)
        .update(bytes)
        .digest();
      const known = right.get(user);
      if (known !== undefined && timingSafeEqual(known, guess)) return true;
      const guessText = guess.toString('base64');
      if (wrong.has(guessText)) return false;
      return checking.get(guessText) ?? (waiting >= WAITING_MAX ? false : derive(user, bytes, guess, guessText));
    },
  };
}
