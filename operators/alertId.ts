// The name of one activation of one alarm: the same on every replay, on every machine.

/** Offset basis and prime of 128-bit FNV-1a. Source: draft-eastlake-fnv-17. */
const BASIS = 0x6c62272e07bb014262b821756295c58dn;
const PRIME = 0x0000000001000000000000000000013bn;
const MASK = (1n << 128n) - 1n;

/**
 * The hash of rule, key and activation, as 32 hexadecimal digits. Not a secret and no proof against
 * a forger; two activations meeting by chance is out of reach (2⁻⁶⁴ among four thousand million).
 *
 * Unit  sinceMs: epoch ms · ordinal: activations of the same millisecond before this one
 */
export function alertId(rule: string, key: unknown, sinceMs: number, ordinal: number): string {
  return fnv1a128(JSON.stringify([rule, keyText(key), sinceMs, ordinal]));
}

/** 128-bit FNV-1a of the text's UTF-8 bytes, in hexadecimal. */
export function fnv1a128(text: string): string {
  let hash = BASIS;
  for (const byte of Buffer.from(text, 'utf8')) hash = ((hash ^ BigInt(byte)) * PRIME) & MASK;
  return hash.toString(16).padStart(32, '0');
}

/** The key as text; the type goes in, so that '7' and 7 differ, and the order of an object's fields does not. */
function keyText(key: unknown): string {
  if (typeof key === 'string') return `s${key}`;
  if (key instanceof Uint8Array) return `b${Buffer.from(key).toString('hex')}`;
  if (key instanceof Date) return `d${key.getTime()}`;
  if (Array.isArray(key)) return `a${JSON.stringify(key.map(keyText))}`;
  if (typeof key === 'object' && key !== null)
    return `o${JSON.stringify(
      Object.entries(key)
        .map(([name, value]) => [name, keyText(value)])
        .sort(([a], [b]) => ((a as string) < (b as string) ? -1 : 1)),
    )}`;
  return `${typeof key}${String(key)}`;
}
