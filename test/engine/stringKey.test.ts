// Keys that are text: one string per key in memory, whatever the bytes are.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { internUtf8, stringKey } from '../../engine/stringKey.ts';

it('gives every key back, however many there are and in whatever order they come', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.string(),
          fc.string({ unit: 'grapheme' }),
          fc.integer({ min: 0, max: 400_000 }).map((n) => `dev-${n}`),
        ),
        { maxLength: 200 },
      ),
      (keys) => {
        const bytes = keys.map((key) => Buffer.from(`<${key}>`));
        for (let round = 0; round < 2; round++)
          for (const b of bytes) expect(stringKey.decode(b, 1, b.length - 1)).toBe(b.toString('utf8', 1, b.length - 1));
      },
    ),
    { numRuns: 200 },
  );
  for (let n = 0; n < 300_000; n++) {
    const b = Buffer.from(`dev-${n}`);
    if (internUtf8(b, 0, b.length) !== `dev-${n}`) expect.unreachable(`dev-${n} came back as another key`);
  }
});
