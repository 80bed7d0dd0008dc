// A missing real part skips on a developer's machine and fails where everything must be there.
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { hasProgram, requireOrSkip, runsWell } from './real.ts';

beforeEach(() => vi.spyOn(console, 'warn').mockImplementation(() => {}));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

it('skips with the reason', () => {
  vi.stubEnv('MILLRACE_REQUIRE_REAL', '');
  expect(requireOrSkip('a broker', true, 'start it')).toEqual({ skip: false, reason: '' });
  expect(requireOrSkip('a broker', false, 'start it')).toEqual({ skip: true, reason: 'a broker is not here: start it' });
  expect(console.warn).toHaveBeenCalledWith('skipped: a broker is not here: start it');
});

it('fails where it is required', () => {
  vi.stubEnv('MILLRACE_REQUIRE_REAL', '1');
  expect(() => requireOrSkip('a broker', false, 'start it')).toThrow(/MILLRACE_REQUIRE_REAL=1, but a broker is not here: start it/);
  expect(requireOrSkip('a broker', true, 'start it').skip).toBe(false);
});

it('knows what can be started and what ends well', () => {
  expect(hasProgram(process.execPath)).toBe(true);
  expect(hasProgram('no-such-program-anywhere')).toBe(false);
  expect(runsWell(process.execPath, ['--eval', ''])).toBe(true);
  expect(runsWell(process.execPath, ['--eval', 'process.exit(3)'])).toBe(false);
});
