// The excerpt of Beijing's air comes out of the original byte for byte, where the original is at hand.
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { excerpt } from '../../scripts/excerpt/smart-city.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** Beside a checkout, or where the variable says. */
const original = process.env.MILLRACE_BEIJING_AIR ?? here('../../../shared/data/smart-city/beijing-air');

describe('smart-city', () => {
  test.skipIf(!existsSync(original))('pipelines/smart-city/data/air.csv is what the script makes of UCI data set 501', () => {
    expect(excerpt(original)).toBe(readFileSync(here('../../pipelines/smart-city/data/air.csv'), 'utf8'));
  });

  test('without the original there is no excerpt', () => {
    expect(excerpt(mkdtempSync(join(tmpdir(), 'millrace-excerpt-')))).toBeUndefined();
  });
});
