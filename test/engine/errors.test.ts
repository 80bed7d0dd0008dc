// A pipeline file may bring a millrace of its own; its errors must mean what ours mean.
import { describe, expect, it } from 'vitest';
import { codeOf, MillraceError } from '../../engine/errors.ts';

describe('an error of another copy of millrace', () => {
  class OtherError extends Error {
    override readonly name = 'MillraceError';
    readonly code: string;
    constructor(code: string) {
      super(`${code}: x`);
      this.code = code;
    }
  }

  it('is one of ours when its code is', () => {
    expect(new OtherError('E_SCHEMA')).toBeInstanceOf(MillraceError);
    expect(codeOf(new OtherError('E_SCHEMA'))).toBe('E_SCHEMA');
  });

  it.each([new OtherError('E_NOPE'), new Error('E_SCHEMA: x'), { name: 'MillraceError', code: 'E_SCHEMA' }, null, undefined, 'E_SCHEMA'])(
    '%s is not',
    (error) => {
      expect(codeOf(error)).toBe('E_CALLBACK');
    },
  );
});
