// The naive stores: plain Maps copied whole at every savepoint and cut. What the real ones must be equal to.
import { compareKeys, lookupKey } from '../../engine/storeKey.ts';

/** One thing a store holds. Never changed in place: a new one takes its place. */
export interface Item {
  readonly id: string;
  readonly key: unknown;
  /** Window start, or the timer's name, or nothing. */
  readonly sub: number | string;
  readonly endMs: number;
  readonly dueMs: number;
  readonly numbers: readonly number[];
  readonly value: unknown;
  /** Another one each time it is opened, or a timer set: tells the due item from one the callback put in its place. */
  readonly life: number;
}

interface State {
  readonly items: Map<string, Item>;
  /** What changed since the last cut, as far as it was not rolled back. */
  readonly touched: Set<string>;
}

const copy = ({ items, touched }: State): State => ({ items: new Map(items), touched: new Set(touched) });

export const idOf = (key: unknown, sub: number | string): string => `${typeof key} ${String(lookupKey(key))} ${typeof sub} ${sub}`;

let lives = 0;

export class StoreModel {
  state: State = { items: new Map(), touched: new Set() };
  #savepoint: State = copy(this.state);
  /** Items at the beginning of the generation being filled, and of the one being committed. */
  #base = new Map<string, Item>();
  #olderBase: Map<string, Item> | undefined;

  get isCommitting(): boolean {
    return this.#olderBase !== undefined;
  }

  get items(): Map<string, Item> {
    return this.state.items;
  }

  put(item: Omit<Item, 'id' | 'life'>, life = ++lives): void {
    const id = idOf(item.key, item.sub);
    this.items.set(id, { ...item, id, life });
    this.state.touched.add(id);
  }

  drop(id: string): void {
    if (this.items.delete(id)) this.state.touched.add(id);
  }

  /** What falls due, first to last. */
  due(): Item[] {
    const order = (a: Item, b: Item) => a.dueMs - b.dueMs || compareKeys(a.key, b.key) || (a.sub < b.sub ? -1 : a.sub > b.sub ? 1 : 0);
    return [...this.items.values()].filter(({ dueMs }) => dueMs < Infinity).sort(order);
  }

  begin(): void {
    this.#savepoint = copy(this.state);
  }

  rollback(): void {
    this.state = copy(this.#savepoint);
  }

  /** Ids the cut must write, and ids it must delete. */
  cut(): { written: string[]; deleted: string[] } {
    const { items, touched } = this.state;
    const written = [...touched].filter((id) => items.has(id));
    const deleted = [...touched].filter((id) => !items.has(id) && this.#base.has(id));
    this.#olderBase = this.#base;
    this.#base = new Map(items);
    touched.clear();
    this.begin();
    return { written: written.sort(), deleted: deleted.sort() };
  }

  committed(): void {
    this.#olderBase = undefined;
  }

  abort(): void {
    this.#base = this.#olderBase ?? this.#base;
    this.#olderBase = undefined;
    this.state = { items: new Map(this.#base), touched: new Set() };
    this.begin();
  }
}
