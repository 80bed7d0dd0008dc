// Naming a thing once: what hostile clients send must not fill the log lines, nor our memory of what we said.

/** Longest text shown. Unit: characters. */
const SHOWN_MAX = 200;

/** Remembers the beginnings of up to `max` texts. Beyond that nothing counts as new, so that a flood of names falls silent. */
export class NamedOnce {
  readonly #max: number;
  readonly #named = new Set<string>();

  constructor(max: number) {
    this.#max = max;
  }

  isNew(text: string): boolean {
    const beginning = text.slice(0, SHOWN_MAX);
    if (this.#named.size >= this.#max || this.#named.has(beginning)) return false;
    this.#named.add(beginning);
    return true;
  }
}

/** The text in quotes, cut, with everything a terminal or a log reader could take for more than text escaped. */
export function printable(text: string): string {
  const cut = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  return `'${cut.replace(/[\p{C}\p{Zl}\p{Zp}'\\]/gu, (c) => `\\u{${(c.codePointAt(0) as number).toString(16)}}`)}'`;
}
