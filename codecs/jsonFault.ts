// Where a text stops being JSON. Only looked for after JSON.parse has refused it, so it may take its time.

/** What was expected where, counted in characters from 0. */
export interface JsonFault {
  readonly position: number;
  readonly expected: string;
}

/** Text without control characters and with only the escapes JSON has, then numbers and the three words. */
const STRING = String.raw`"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"`;
const SCALAR = new RegExp(String.raw`${STRING}|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null`, 'y');
const NAME = new RegExp(String.raw`${STRING}[ \t\n\r]*:`, 'y');
const SPACE = /[ \t\n\r]*/y;

/** The first fault, or undefined when the text is JSON. Walks without recursion: depth costs memory, never the stack. */
export function jsonFault(text: string): JsonFault | undefined {
  let at = 0;
  /** The closing brackets owed. */
  const owed: string[] = [];
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const fault = (expected: string): JsonFault => ({ position: at, expected });
  for (;;) {
    take(SPACE);
    const closing = text[at] === '{' ? '}' : text[at] === '[' ? ']' : undefined;
    if (closing !== undefined) {
      at++;
      take(SPACE);
      if (text[at] !== closing) {
        owed.push(closing);
        if (closing === '}' && !take(NAME)) return fault(`a name in double quotes and a colon, or '}'`);
        continue;
      }
      at++;
    } else if (!take(SCALAR)) return fault('a value');
    // A value is complete: close what closes, until a comma asks for the next one.
    for (;;) {
      take(SPACE);
      const close = owed.at(-1);
      if (close === undefined) return at === text.length ? undefined : fault('the end');
      if (text[at] === ',') {
        at++;
        take(SPACE);
        if (close === '}' && !take(NAME)) return fault('a name in double quotes and a colon');
        break;
      }
      if (text[at] !== close) return fault(`',' or '${close}'`);
      at++;
      owed.pop();
    }
  }
}
