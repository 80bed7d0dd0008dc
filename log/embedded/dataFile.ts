// Looks at LMDB's data file before LMDB does: lmdb-js ends the process on a file that is none.
import { closeSync, openSync, readSync } from 'node:fs';
import { MillraceError } from '../../engine/errors.ts';

/** Where fields lie in the first bytes of each of the two head pages. Source: lmdb-js 3.5, mdb.c, MDB_page and MDB_meta. */
const AT = { flags: 18, magic: 24, version: 28, pageSize: 48, end: 52 } as const;
const HEAD_PAGE = 0x08;
const MAGIC = 0xbeefc0de;
const VERSION = 2;

function readAt(fd: number, position: number): Buffer | undefined {
  const bytes = Buffer.alloc(AT.end);
  return readSync(fd, bytes, 0, AT.end, position) === AT.end ? bytes : undefined;
}

function isHead(page: Buffer | undefined): page is Buffer {
  return page !== undefined && (page.readUInt16LE(AT.flags) & HEAD_PAGE) !== 0 && page.readUInt32LE(AT.magic) === MAGIC;
}

/**
 * Checks that the file begins as an LMDB file of the version we write.
 *
 * Errors  E_CORRUPT when it is something else or cut off; E_CONFIG for another version
 */
export function checkDataFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    const first = readAt(fd, 0);
    if (!isHead(first)) throw new MillraceError('E_CORRUPT', `${path} is not a log`);
    const pageSize = first.readUInt32LE(AT.pageSize);
    const second = pageSize >= 256 && pageSize <= 65_536 ? readAt(fd, pageSize) : undefined;
    if (!isHead(second)) throw new MillraceError('E_CORRUPT', `${path} is damaged: its second head page is not one`);
    const version = first.readUInt32LE(AT.version);
    if (version !== VERSION)
      throw new MillraceError('E_CONFIG', `${path} is an LMDB file of version ${version}; this millrace reads version ${VERSION}`);
  } finally {
    closeSync(fd);
  }
}
