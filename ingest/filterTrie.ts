// Which of many MQTT filters match a topic: a tree over levels. Topics are only ever keys of a Map, never code or paths.
import type { FilterLevel } from './filter.ts';

interface TrieNode<T> {
  readonly texts: Map<string, TrieNode<T>>;
  one: TrieNode<T> | undefined;
  /** Values of filters that end here. */
  readonly here: Set<T>;
  /** Values of filters that end here with `#`. */
  readonly rest: Set<T>;
}

export interface FilterTrie<T> {
  readonly size: number;
  add(levels: readonly FilterLevel[], value: T): void;
  remove(levels: readonly FilterLevel[], value: T): void;
  /** The values of all filters that match, each once. */
  match(topicLevels: readonly string[]): Set<T>;
}

function newNode<T>(): TrieNode<T> {
  return { texts: new Map(), one: undefined, here: new Set(), rest: new Set() };
}

/** The levels of a topic or filter, `a/b/` being three. */
export function levelsOf(topic: string): string[] {
  return topic.split('/');
}

/**
 * An empty tree of filters.
 *
 * Cost    match: each node at most once, so no topic is worse than the number of filters
 * Source  MQTT 3.1.1, 4.7: `a/#` matches `a`; a wildcard at the first level does not match topics that begin with `$`
 */
export function filterTrie<T>(): FilterTrie<T> {
  const root = newNode<T>();
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(levels, value) {
      const values = valuesAt(root, levels);
      size += values.has(value) ? 0 : 1;
      values.add(value);
    },
    remove(levels, value) {
      if (prune(root, levels, 0, value)) size--;
    },
    match(topicLevels) {
      const found = new Set<T>();
      collect(root, topicLevels, 0, found);
      return found;
    },
  };
}

function valuesAt<T>(root: TrieNode<T>, levels: readonly FilterLevel[]): Set<T> {
  let node = root;
  for (const level of levels) {
    if (level.kind === 'rest') return node.rest;
    if (level.kind === 'one') {
      node = node.one ??= newNode();
      continue;
    }
    let next = node.texts.get(level.text);
    if (next === undefined) node.texts.set(level.text, (next = newNode()));
    node = next;
  }
  return node.here;
}

/** Removes the value and the nodes that nothing needs any more. True when the value was there. */
function prune<T>(node: TrieNode<T>, levels: readonly FilterLevel[], depth: number, value: T): boolean {
  const level = levels[depth];
  if (level === undefined) return node.here.delete(value);
  if (level.kind === 'rest') return node.rest.delete(value);
  const next = level.kind === 'one' ? node.one : node.texts.get(level.text);
  if (next === undefined) return false;
  const removed = prune(next, levels, depth + 1, value);
  if (next.here.size === 0 && next.rest.size === 0 && next.one === undefined && next.texts.size === 0) {
    if (level.kind === 'one') node.one = undefined;
    else node.texts.delete(level.text);
  }
  return removed;
}

function collect<T>(node: TrieNode<T>, topic: readonly string[], depth: number, found: Set<T>): void {
  const system = depth === 0 && topic[0]?.startsWith('$') === true;
  if (!system) for (const value of node.rest) found.add(value);
  const level = topic[depth];
  if (level === undefined) {
    for (const value of node.here) found.add(value);
    return;
  }
  const text = node.texts.get(level);
  if (text !== undefined) collect(text, topic, depth + 1, found);
  if (node.one !== undefined && !system) collect(node.one, topic, depth + 1, found);
}
