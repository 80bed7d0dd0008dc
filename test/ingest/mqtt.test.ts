// The mqtt(…) descriptor: types from around it, and every mistake named.
import { describe, expect, expectTypeOf, it } from 'vitest';
import { type Codec, topic } from '../../engine/topic.ts';
import { type FilterLevel, parseFilter, parseKeyTemplate } from '../../ingest/filter.ts';
import { mqtt } from '../../ingest/mqtt.ts';

interface Reading {
  at: string;
  pm25: number;
}
const codec = {} as Codec<Reading>;

describe('mqtt', () => {
  it('is a frozen plain value', () => {
    const eventTime = (r: Reading) => r.at;
    const route = mqtt('city/+zone/air/+device', { key: '{zone}/{device}', eventTime });
    expect(route).toEqual({ kind: 'mqtt', filter: 'city/+zone/air/+device', key: '{zone}/{device}', eventTime, retained: 'drop' });
    expect(Object.isFrozen(route)).toBe(true);
  });

  it('takes the type of its callback from the topic around it', () => {
    const air = topic('city.air', codec, {
      from: mqtt('city/+zone/air/+device', {
        key: '{zone}/{device}',
        eventTime: (r) => {
          expectTypeOf(r).toEqualTypeOf<Reading>();
          return r.at;
        },
      }),
    });
    expect(air.from?.filter).toBe('city/+zone/air/+device');
    // @ts-expect-error a reading has no such field
    topic('city.air', codec, { from: mqtt('a/+b', { key: '{b}', eventTime: (r) => r.nope }) });
  });

  it.each<[string, string, unknown, string]>([
    ['an empty filter', '', { key: '{a}' }, 'mqtt filter is empty'],
    ['# before the end', 'a/#/b', { key: 'x' }, "'#' stands for the rest"],
    ['# inside a level', 'a/b#', { key: 'x' }, "'#' must be a level of its own"],
    ['+ inside a level', 'a/b+c', { key: 'x' }, "'+' must begin its level"],
    ['a name that is none', 'a/+9', { key: 'x' }, "'+9': a name is letters"],
    ['a name with a second +', 'a/+b+c', { key: 'x' }, "'+b+c': a name is"],
    ['a name used twice', '+a/+a', { key: '{a}' }, "the name 'a' is used twice"],
    ['a NUL', 'a/\0', { key: 'x' }, 'NUL'],
    ['half a character', 'a/\ud800', { key: 'x' }, 'half of a character'],
    ['the server’s own topics', '$SYS/x', { key: 'x' }, '$SYS/'],
    ['a shared subscription', '$share/g/a', { key: 'x' }, 'shared subscriptions'],
    ['33 levels', Array(33).fill('a').join('/'), { key: 'x' }, '33 levels; at most 32'],
    ['no options', 'a/+b', undefined, 'give options with a key'],
    ['no key', 'a/+b', {}, 'key must be a template'],
    ['an empty key', 'a/+b', { key: '' }, 'it is empty'],
    ['an unknown name', 'a/+b/+c', { key: '{d}' }, "no segment is named 'd'; the filter names 'b', 'c'"],
    ['a name where none is given', 'a/+', { key: '{d}' }, "write '+device' instead of '+'"],
    ['an open brace', 'a/+b', { key: '{b' }, 'without its partner'],
    ['a closing brace', 'a/+b', { key: 'b}' }, 'without its partner'],
    ['a brace alone', 'a/+b', { key: '{' }, 'without its partner'],
    ['braces in braces', 'a/+b', { key: '{{b}}' }, 'without its partner'],
    ['an unknown option', 'a/+b', { key: '{b}', eventtime: 1 }, "unknown option 'eventtime'; there are key, eventTime, retained"],
    ['an event time that is no function', 'a/+b', { key: '{b}', eventTime: 'at' }, 'eventTime must be a function'],
    ['retained that is neither', 'a/+b', { key: '{b}', retained: true }, "retained must be 'table' or 'drop', got 'true'"],
  ])('refuses %s', (_, filter, options, says) => {
    expect(() => mqtt(filter, options as never)).toThrow(says);
    expect(() => mqtt(filter, options as never)).toThrow(/^E_CONFIG: /);
  });

  it('takes names that objects inherit', () => {
    expect(parseFilter('+__proto__/+constructor').map((level) => (level as Extract<FilterLevel, { kind: 'one' }>).name)).toEqual([
      '__proto__',
      'constructor',
    ]);
    expect(() => mqtt('a/+b', { key: '{toString}' })).toThrow("no segment is named 'toString'");
  });

  it('reads filters and templates into parts', () => {
    const levels = parseFilter('a//+b/+/#');
    expect(levels).toEqual([
      { kind: 'text', text: 'a' },
      { kind: 'text', text: '' },
      { kind: 'one', name: 'b' },
      { kind: 'one', name: undefined },
      { kind: 'rest' },
    ]);
    expect(parseKeyTemplate('x-{b}{b}', levels, '')).toEqual([
      { kind: 'text', text: 'x-' },
      { kind: 'level', level: 2 },
      { kind: 'level', level: 2 },
    ]);
  });
});
