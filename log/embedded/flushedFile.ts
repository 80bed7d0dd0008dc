// The last commit that survives a power cut, for readers in other processes.
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const FILE = 'flushed';
/** The number and, to tell a torn write, its complement: each an unsigned 64-bit integer. */
const SIZE = 16;
const MASK = 0xffff_ffff_ffff_ffffn;

export class FlushedFile {
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(SIZE);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** For the one writer. The file is written in place and never replaced, so readers may keep it open. */
  static openForWriting(dir: string): FlushedFile {
    return new FlushedFile(openSync(join(dir, FILE), constants.O_RDWR | constants.O_CREAT, 0o600));
  }

  /** undefined when there is none: no writer was ever here. */
  static openForReading(dir: string): FlushedFile | undefined {
    try {
      return new FlushedFile(openSync(join(dir, FILE), constants.O_RDONLY));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(sequence: number): void {
    const value = BigInt(sequence);
    this.#bytes.writeBigUInt64BE(value, 0);
    this.#bytes.writeBigUInt64BE(value ^ MASK, 8);
    writeSync(this.#fd, this.#bytes, 0, SIZE, 0);
  }

  /** The last flushed commit; undefined when the file holds none. */
  read(): number | undefined {
    if (readSync(this.#fd, this.#bytes, 0, SIZE, 0) < SIZE) return undefined;
    const value = this.#bytes.readBigUInt64BE(0);
    return (value ^ MASK) === this.#bytes.readBigUInt64BE(8) ? Number(value) : undefined;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
