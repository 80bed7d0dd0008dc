// The tree of filters against MQTT's definition, word for word.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseFilter } from '../../ingest/filter.ts';
import { filterTrie, levelsOf } from '../../ingest/filterTrie.ts';

/** MQTT 3.1.1, 4.7, word for word and slow. */
function matches(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]?.startsWith('$') && (filter[0] === '+' || filter[0] === '#')) return false;
  for (let i = 0; ; i++) {
    if (filter[i] === '#') return i <= topic.length;
    if (i >= filter.length || i >= topic.length) return filter.length === topic.length;
    if (filter[i] !== '+' && filter[i] !== topic[i]) return false;
  }
}

const level = fc.constantFrom('a', 'b', '', '$x', '__proto__', 'constructor');
const topics = fc.array(level, { minLength: 1, maxLength: 5 });
const filters = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([levels, hasRest]) => (hasRest ? [...levels, '#'] : levels));

describe('filterTrie', () => {
  it.each([
    ['sport/#', 'sport', true],
    ['sport/#', 'sport/tennis/player1', true],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['#', 'a/b', true],
  ])('MQTT 4.7: %s and %s: %s', (filter, topic, expected) => {
    const trie = filterTrie<string>();
    trie.add(parseFilterText(filter), filter);
    expect(trie.match(levelsOf(topic)).has(filter)).toBe(expected);
  });

  it('finds what the definition finds, also after some are removed', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(filters, { maxLength: 12, selector: (f) => f.join('/') }),
        fc.array(topics),
        fc.nat(),
        (all, published, removeEvery) => {
          const trie = filterTrie<string>();
          for (const filter of all) trie.add(parseFilterText(filter.join('/')), filter.join('/'));
          const kept = all.filter((filter, i) => {
            if (i % (1 + (removeEvery % 4)) !== 1) return true;
            trie.remove(parseFilterText(filter.join('/')), filter.join('/'));
            return false;
          });
          expect(trie.size).toBe(kept.length);
          for (const topic of published) {
            const expected = kept.filter((filter) => matches(filter, topic)).map((filter) => filter.join('/'));
            expect([...trie.match(topic)].sort()).toEqual(expected.sort());
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('forgets a value that was not there without harm', () => {
    const trie = filterTrie<string>();
    trie.add(parseFilter('a/b'), 'x');
    trie.remove(parseFilter('a/c'), 'x');
    trie.remove(parseFilter('a/b'), 'y');
    expect(trie.size).toBe(1);
    trie.remove(parseFilter('a/b'), 'x');
    expect(trie.size).toBe(0);
  });
});

/** Subscriptions may name `$SYS/`, which routes may not. */
function parseFilterText(filter: string): ReturnType<typeof parseFilter> {
  return levelsOf(filter).map((text) =>
    text === '#' ? { kind: 'rest' } : text === '+' ? { kind: 'one', name: undefined } : { kind: 'text', text },
  );
}
