// Where records enter a chain, and where they fan out: a hot Observable that hands each record to its subscribers in turn.
import { Observable, type Subscriber } from 'rxjs';
import type { AnyRec } from './step.ts';

/** What a Subject would be, less what a chain that is connected once and never ends does not need. */
export class Inlet {
  readonly stream: Observable<AnyRec>;
  readonly #subscribers: Subscriber<AnyRec>[] = [];
  #only: Subscriber<AnyRec> | undefined;

  constructor() {
    this.stream = new Observable((subscriber) => {
      this.#subscribers.push(subscriber);
      this.#only = this.#subscribers.length === 1 ? subscriber : undefined;
    });
  }

  next(record: AnyRec): void {
    if (this.#only !== undefined) this.#only.next(record);
    else for (const subscriber of this.#subscribers) subscriber.next(record);
  }
}
