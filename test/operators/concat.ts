// An aggregator for vectors that were taken with string concatenation.
import { type Aggregator, aggregator } from '../../operators/aggregators/aggregator.ts';

/** Values joined in order of arrival. */
export function concat(): Aggregator<unknown, string> {
  return aggregator<unknown, string>({
    kind: 'concat',
    width: 0,
    boxes: 1,
    init(_numbers, _i, boxes, k) {
      boxes[k] = '';
    },
    add(_numbers, _i, boxes, k, value) {
      boxes[k] = `${boxes[k]}${value}`;
    },
    merge(_numbers, _i, boxes, k, _from, _j, fromBoxes, l) {
      boxes[k] = `${boxes[k]}${fromBoxes[l]}`;
    },
    result: (_numbers, _i, boxes, k) => boxes[k] as string,
  });
}
