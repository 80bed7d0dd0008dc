// The undo log: only who joined is asked, newest first, once.
import { describe, expect, it } from 'vitest';
import { UndoLog } from '../../engine/undo.ts';

function participant(name: string, told: string[]) {
  return { rollback: () => told.push(`${name} rollback`), settle: () => told.push(`${name} settle`) };
}

describe('UndoLog', () => {
  it('settles at begin and rolls back newest first, each who joined, once', () => {
    const undo = new UndoLog();
    const told: string[] = [];
    const [a, b] = [participant('a', told), participant('b', told)];
    undo.begin();
    undo.rollback();
    expect(told).toStrictEqual([]);
    undo.join(a);
    undo.join(b);
    undo.rollback();
    undo.rollback();
    expect(told.splice(0)).toStrictEqual(['b rollback', 'a rollback']);
    undo.join(b);
    undo.begin();
    undo.begin();
    undo.rollback();
    expect(told).toStrictEqual(['b settle']);
  });
});
