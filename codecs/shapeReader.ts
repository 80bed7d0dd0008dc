// Reads JSON objects that look like the last one: the same names in the same order, plain values. Devices send nothing else
// all day, and comparing the bytes between the values is two to three times as fast as parsing. What differs is left to
// JSON.parse, and what is read is exactly what JSON.parse would give. No code is generated.

/** Reads objects of one shape at a time. */
export interface ShapeReader {
  /** The object in bytes[start, end), or undefined when it is not of the shape or not plain. */
  read(bytes: Buffer, start: number, end: number): Record<string, unknown> | undefined;
  /** Told of every text that read() left to JSON.parse, and what that gave; takes its shape over when enough were missed. */
  missed(text: string, value: unknown): void;
}

/** A shape: the bytes in front of each value and after the last one, one after the other, and where each piece ends. */
interface Shape {
  readonly names: readonly string[];
  readonly literals: Uint8Array;
  readonly ends: readonly number[];
  /** Cloned for every object, so that all share one hidden class. */
  readonly template: Readonly<Record<string, unknown>>;
}

/** Misses before another shape is learned: few at first, then ever more, so that mixed input costs little. */
const PATIENCE = 8;
const PATIENCE_MAX = 4_096;
const NAMES_MAX = 64;
/** Mantissas below 10^15 and these powers are exact, so their quotient is the correctly rounded number. */
const DIGITS_MAX = 15;
const POWERS = Array.from({ length: DIGITS_MAX + 1 }, (_, i) => 10 ** i);

/** Makes a reader that has learned nothing yet. */
export function shapeReader(): ShapeReader {
  let shape: Shape | undefined;
  let misses = 0;
  let patience = 0;
  const values: unknown[] = [];
  return {
    read: (bytes, start, end) => (shape === undefined ? undefined : readShape(shape, values, bytes, start, end)),
    missed(text, value) {
      if (misses++ < patience) return;
      misses = 0;
      patience = Math.min(PATIENCE_MAX, Math.max(PATIENCE, patience * 2));
      shape = learn(text, value) ?? shape;
    },
  };
}

/** Where the value ends that was read last. Not returned, so that nothing is allocated. */
let valueEnd = 0;

function readShape(shape: Shape, values: unknown[], bytes: Buffer, start: number, end: number): Record<string, unknown> | undefined {
  const { literals, ends, names, template } = shape;
  const count = names.length;
  let at = start;
  let literal = 0;
  for (let f = 0; f < count; f++) {
    const literalEnd = ends[f] as number;
    while (literal < literalEnd) if (bytes[at++] !== literals[literal++]) return undefined;
    const value = plainValue(bytes, at, end);
    if (value === undefined) return undefined;
    values[f] = value;
    at = valueEnd;
  }
  if (end - at !== literals.length - literal) return undefined;
  while (literal < literals.length) if (bytes[at++] !== literals[literal++]) return undefined;
  return objectOf(template, names, values, count);
}

/** Each assignment stands for itself: with one shape in use, every one always sees the same name, and V8 makes it a plain store. */
function objectOf(
  template: Shape['template'],
  names: readonly string[],
  values: readonly unknown[],
  count: number,
): Record<string, unknown> {
  const object: Record<string, unknown> = { ...template };
  object[names[0] as string] = values[0];
  if (count === 1) return object;
  object[names[1] as string] = values[1];
  if (count === 2) return object;
  object[names[2] as string] = values[2];
  if (count === 3) return object;
  object[names[3] as string] = values[3];
  if (count === 4) return object;
  object[names[4] as string] = values[4];
  if (count === 5) return object;
  object[names[5] as string] = values[5];
  for (let f = 6; f < count; f++) object[names[f] as string] = values[f];
  return object;
}

const QUOTE = 34;
const MINUS = 45;
const ZERO = 48;
const NINE = 57;

/** A number, ASCII text without escapes, true, false or null; anything else is undefined. */
function plainValue(bytes: Buffer, at: number, end: number): unknown {
  const c = bytes[at] as number;
  if (c === QUOTE) return plainText(bytes, at + 1, end);
  if (c >= ZERO && c <= NINE) {
    const number = plainNumber(bytes, at);
    return number === number ? number : longNumber(bytes, at, at, end);
  }
  if (c === MINUS) {
    const number = plainNumber(bytes, at + 1);
    return number === number ? -number : longNumber(bytes, at, at + 1, end);
  }
  if (c === 110) return word(bytes, at, NULL) ? null : undefined;
  if (c === 116) return word(bytes, at, TRUE) ? true : undefined;
  if (c === 102) return word(bytes, at, FALSE) ? false : undefined;
  return undefined;
}

const NULL = Buffer.from('null');
const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');

function word(bytes: Buffer, at: number, expected: Buffer): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false;
  valueEnd = at + expected.length;
  return true;
}

/** Texts seen before, by the hash of their bytes; another one takes the place over, so memory stays bounded. */
const SLOTS = 1 << 16;
const LENGTH_MAX = 64;
const known: (string | undefined)[] = new Array(SLOTS);

/** Looked up while it is read: a text that was seen before costs no new string. */
function plainText(bytes: Buffer, start: number, end: number): string | undefined {
  let hash = 0x811c9dc5;
  let at = start;
  for (; at < end; at++) {
    const c = bytes[at] as number;
    if (c === QUOTE) break;
    if (c < 32 || c > 126 || c === 92) return undefined;
    hash = Math.imul(hash ^ c, 0x01000193);
  }
  if (at >= end) return undefined;
  valueEnd = at + 1;
  const length = at - start;
  if (length > LENGTH_MAX) return bytes.toString('latin1', start, at);
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
  const text = known[slot];
  if (text !== undefined && text.length === length) {
    let i = 0;
    while (i < length && text.charCodeAt(i) === bytes[start + i]) i++;
    if (i === length) return text;
  }
  return (known[slot] = bytes.toString('latin1', start, at));
}

/** Digits, maybe a point and more digits; NaN when there is an exponent, or a zero in front of another digit, or too many. */
function plainNumber(bytes: Buffer, start: number): number {
  let at = start;
  let mantissa = 0;
  let c = bytes[at] as number;
  while (c >= ZERO && c <= NINE) {
    mantissa = mantissa * 10 + (c - ZERO);
    c = bytes[++at] as number;
  }
  const whole = at - start;
  if (whole === 0 || whole > DIGITS_MAX || (whole > 1 && bytes[start] === ZERO)) return Number.NaN;
  if (c === 46) {
    const point = at;
    c = bytes[++at] as number;
    while (c >= ZERO && c <= NINE) {
      mantissa = mantissa * 10 + (c - ZERO);
      c = bytes[++at] as number;
    }
    const decimals = at - point - 1;
    if (decimals === 0 || whole + decimals > DIGITS_MAX) return Number.NaN;
    mantissa /= POWERS[decimals] as number;
  }
  if (c === 101 || c === 69) return Number.NaN;
  valueEnd = at;
  return mantissa;
}

/** A number of more digits, or with an exponent: computed results have 16 or 17. Undefined unless JSON's grammar allows it. */
function longNumber(bytes: Buffer, start: number, digits: number, end: number): number | undefined {
  let at = digitsFrom(bytes, digits, end);
  if (at === digits || (at > digits + 1 && bytes[digits] === ZERO)) return undefined;
  if (bytes[at] === 46) {
    const point = at + 1;
    at = digitsFrom(bytes, point, end);
    if (at === point) return undefined;
  }
  if (at < end && ((bytes[at] as number) | 32) === 101) {
    const sign = bytes[at + 1] === 43 || bytes[at + 1] === MINUS ? at + 2 : at + 1;
    at = digitsFrom(bytes, sign, end);
    if (at === sign) return undefined;
  }
  valueEnd = at;
  return Number(bytes.toString('latin1', start, at));
}

function digitsFrom(bytes: Buffer, at: number, end: number): number {
  while (at < end && (bytes[at] as number) >= ZERO && (bytes[at] as number) <= NINE) at++;
  return at;
}

/** A value without inner structure, as it stands in JSON. */
const SCALAR = /"(?:[^"\\]|\\.)*"|[-+.0-9a-zA-Z]+/y;
const NAME = /[ \t\n\r]*[{,][ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:[ \t\n\r]*/y;

/** The shape of a text that JSON.parse has taken; undefined when it is no flat object, or names come twice. */
function learn(text: string, value: unknown): Shape | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const literals: Buffer[] = [];
  const ends: number[] = [];
  const names: string[] = [];
  let at = 0;
  for (;;) {
    NAME.lastIndex = at;
    const name = NAME.exec(text);
    if (name === null) break;
    literals.push(Buffer.from(text.slice(at, NAME.lastIndex), 'utf8'));
    ends.push((ends.at(-1) ?? 0) + (literals.at(-1) as Buffer).length);
    names.push(JSON.parse(name[1] as string) as string);
    SCALAR.lastIndex = NAME.lastIndex;
    if (!SCALAR.test(text)) return undefined;
    at = SCALAR.lastIndex;
  }
  literals.push(Buffer.from(text.slice(at), 'utf8'));
  // A name that comes twice counts once in the value, digits are reordered, and __proto__ cannot be cloned by assignment.
  const own = Object.keys(value);
  if (names.length === 0 || names.length > NAMES_MAX || own.length !== names.length || names.includes('__proto__')) return undefined;
  if (names.some((name, i) => name !== own[i])) return undefined;
  return { names, literals: new Uint8Array(Buffer.concat(literals)), ends, template: { ...value } };
}
