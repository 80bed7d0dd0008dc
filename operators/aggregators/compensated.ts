// A running sum that does not lose small numbers beside large ones.
import { inRange } from './aggregator.ts';

/**
 * Adds `x` to the sum in numbers[i], its lost low part in numbers[i + 1]. The true sum is their sum.
 *
 * Source  Neumaier 1974, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen"
 */
export function addCompensated(numbers: Float64Array, i: number, x: number, kind: string): void {
  const sum = numbers[i] as number;
  const t = inRange(sum + x, kind);
  const lost = Math.abs(sum) >= Math.abs(x) ? sum - t + x : x - t + sum;
  numbers[i] = t;
  numbers[i + 1] = (numbers[i + 1] as number) + lost;
}
