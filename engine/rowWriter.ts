// The bytes of rows at a cut: written one after the other into a few pieces of memory, not into two new ones per row.

/** A cut of one row takes one small piece; one of many takes larger ones, each twice the last up to this. Unit: bytes. */
const FIRST = 512;
const PIECE_MAX = 65_536;

/**
 * Hands out byte arrays cut from common memory. `begin` a key or value, write at `bytes[at]` or with `view` and move `at`,
 * and `end` gives what was written, never to be written to again.
 */
export class RowWriter {
  bytes = Buffer.alloc(0);
  view = new DataView(this.bytes.buffer);
  at = 0;
  #start = 0;
  #piece = FIRST;

  /** Makes room for at most so many bytes. */
  begin(bytesMax: number): void {
    if (this.at + bytesMax > this.bytes.length) this.#next(bytesMax);
    this.#start = this.at;
  }

  end(): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.#start, this.at - this.#start);
  }

  float64(value: number): void {
    this.view.setFloat64(this.at, value, true);
    this.at += 8;
  }

  uint32(value: number): void {
    this.view.setUint32(this.at, value, false);
    this.at += 4;
  }

  /** Needs room for three bytes a character. */
  utf8(text: string): void {
    const { bytes, at } = this;
    const length = text.length;
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i);
      if (c > 127) {
        this.at = at + bytes.write(text, at, 'utf8');
        return;
      }
      bytes[at + i] = c;
    }
    this.at = at + length;
  }

  latin1(text: string): void {
    this.at += this.bytes.write(text, this.at, 'latin1');
  }

  copy(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  #next(bytesMax: number): void {
    // allocUnsafeSlow: memory of its own, so that offsets are those of the buffer; every byte handed out is written.
    this.bytes = Buffer.allocUnsafeSlow(Math.max(this.#piece, bytesMax));
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
    this.#piece = Math.min(PIECE_MAX, this.#piece * 2);
  }
}
