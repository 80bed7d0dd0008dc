// Passwords of MQTT users: scrypt, a salt each, compared in constant time.
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { MillraceError } from '../engine/errors.ts';

/** A stored password: what scrypt was told, its salt and its answer. */
export interface PasswordHash {
  readonly cost: number;
  readonly blockSize: number;
  readonly parallel: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/** Source: OWASP Password Storage Cheat Sheet, scrypt with N = 2^15, r = 8, p = 3 (32 MiB). */
const COST = 2 ** 15;
const BLOCK_SIZE = 8;
const PARALLEL = 3;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** A hash from elsewhere may not make us spend more than this. Unit: bytes. */
const MEMORY_BYTES_MAX = 256 << 20;
/** MQTT's own limit. Unit: bytes. */
const PASSWORD_BYTES_MAX = 65_535;

const LINE = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([A-Za-z0-9+/=]{1,200})\$([A-Za-z0-9+/=]{1,200})$/;

/**
 * The hash of a password for the users file: `scrypt$N$r$p$salt$hash`, salt and hash in base64.
 *
 * Errors  E_CONFIG when the password is empty or longer than MQTT carries
 * @example  `${user}:${await hashPassword(password)}` is a line of the users file
 */
export async function hashPassword(password: string): Promise<string> {
  const bytes = Buffer.byteLength(password);
  if (bytes === 0 || bytes > PASSWORD_BYTES_MAX)
    throw new MillraceError('E_CONFIG', `a password must have 1 to ${PASSWORD_BYTES_MAX} bytes, got ${bytes}`);
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(Buffer.from(password), {
    cost: COST,
    blockSize: BLOCK_SIZE,
    parallel: PARALLEL,
    salt,
    hash: Buffer.alloc(HASH_BYTES),
  });
  return `scrypt$${COST}$${BLOCK_SIZE}$${PARALLEL}$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** Reads what hashPassword wrote; undefined when it is not that, or asks for more memory than we give. */
export function parsePasswordHash(text: string): PasswordHash | undefined {
  const parts = LINE.exec(text);
  if (parts === null) return undefined;
  const [cost, blockSize, parallel] = [Number(parts[1]), Number(parts[2]), Number(parts[3])];
  const [salt, hash] = [Buffer.from(parts[4] as string, 'base64'), Buffer.from(parts[5] as string, 'base64')];
  const isPowerOfTwo = cost > 1 && (cost & (cost - 1)) === 0;
  if (!isPowerOfTwo || blockSize < 1 || parallel < 1 || parallel > 16 || salt.length < 8 || hash.length < 16) return undefined;
  return 128 * cost * blockSize > MEMORY_BYTES_MAX ? undefined : { cost, blockSize, parallel, salt, hash };
}

/** Whether this is the password; takes the same time for a right and a wrong one. */
export async function isPassword(password: Buffer, stored: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, stored), stored.hash);
}

function derive(password: Buffer, { cost, blockSize, parallel, salt, hash }: PasswordHash): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    scrypt(password, salt, hash.length, { N: cost, r: blockSize, p: parallel, maxmem: 2 * MEMORY_BYTES_MAX }, (error, derived) =>
      error === null ? resolve(derived) : reject(error),
    ),
  );
}
