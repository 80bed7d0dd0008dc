// What slots of a store were like before they changed: the memory of an undo, without an object per change.

/** Logs smaller than this are kept as they are when emptied. Unit: entries. */
const KEPT = 1_024;

/**
 * A list of changes to slots in columns, each with an image if it needs one: a fixed count of numbers and of objects.
 * Columns are replaced as they grow; emptied, the log gives back what it has not needed for a while.
 */
export class ImageLog {
  count = 0;
  slot = new Int32Array(16);
  kind = new Uint8Array(16);
  /** Index of the change's image; -1 for none. */
  image = new Int32Array(16);
  /** Free for the owner: the savepoint keeps here which entry of the generation a slot had. */
  link = new Int32Array(16);

  images = 0;
  numbers = new Float64Array(0);
  readonly objects: unknown[] = [];
  readonly #width: number;
  readonly #objectWidth: number;

  constructor(width: number, objectWidth: number) {
    this.#width = width;
    this.#objectWidth = objectWidth;
  }

  /** Adds a change and returns its index. */
  add(slot: number, kind: number, image: number, link: number): number {
    const i = this.count;
    if (i === this.slot.length) this.#resize(i * 2);
    this.slot[i] = slot;
    this.kind[i] = kind;
    this.image[i] = image;
    this.link[i] = link;
    this.count = i + 1;
    return i;
  }

  /** Makes room for an image and returns its index. */
  addImage(): number {
    const i = this.images++;
    if ((i + 1) * this.#width > this.numbers.length) this.#resizeImages(Math.max(16, i * 2));
    return i;
  }

  /** Index in `numbers` of an image's first number. */
  numbersAt(image: number): number {
    return image * this.#width;
  }

  /** Index in `objects` of an image's first object. */
  objectsAt(image: number): number {
    return image * this.#objectWidth;
  }

  /** Forgets all after the first `count` changes and `images` images. */
  truncate(count: number, images: number): void {
    if (this.#objectWidth > 0 && this.images > images) this.objects.fill(undefined, this.objectsAt(images), this.objectsAt(this.images));
    this.count = count;
    this.images = images;
  }

  /** Forgets everything at once, for the short life of a savepoint: its few references are overwritten by the next. */
  reset(): void {
    this.count = 0;
    this.images = 0;
    if (this.objects.length > KEPT) this.objects.length = 0;
  }

  /** Forgets everything, and every reference. */
  clear(): void {
    const { count, images } = this;
    this.truncate(0, 0);
    if (this.slot.length > KEPT && count * 4 < this.slot.length) this.#resize(this.slot.length >> 1);
    const held = this.#width === 0 ? 0 : this.numbers.length / this.#width;
    if (held > KEPT && images * 4 < held) this.#resizeImages(held >> 1);
    if (this.objects.length > KEPT * this.#objectWidth && this.objectsAt(images) * 4 < this.objects.length) this.objects.length >>= 1;
  }

  #resize(capacity: number): void {
    this.slot = resized(this.slot, new Int32Array(capacity), this.count);
    this.kind = resized(this.kind, new Uint8Array(capacity), this.count);
    this.image = resized(this.image, new Int32Array(capacity), this.count);
    this.link = resized(this.link, new Int32Array(capacity), this.count);
  }

  #resizeImages(capacity: number): void {
    this.numbers = resized(this.numbers, new Float64Array(capacity * this.#width), Math.min(this.images, capacity) * this.#width);
  }
}

function resized<A extends Int32Array | Uint8Array | Float64Array>(from: A, to: A, count: number): A {
  to.set(from.subarray(0, Math.min(count, from.length)));
  return to;
}
