"""An exercise with many right answers: judged by properties, not by one result.

The formula is one right answer, and turned by its knobs the wrong ones that are known.

But: which properties, the exercises say.
"""

import numpy as np

from bnlib.check._exercise import Exercise


class Behaviour(Exercise):
    """An exercise that asks `verdict` about each result.

    A subclass has ``verdict(case, result)``, which returns what is wrong, or nothing.
    """

    def _judge(self, learner, seed):
        cases = self.cases(np.random.default_rng(seed))
        results = [self._observe(learner, case) for case in cases]
        for case, result in zip(cases, results, strict=True):
            if reason := self._wrong(case, result):
                raise self._failure(reason)
        return f"behaves well on {len(cases)} inputs"

    def _wrong(self, case, result):
        truth = self._formula(case, {})
        for k, name in enumerate(self.outputs):
            got = result if isinstance(result, Exception) else result[k]
            if isinstance(got, Exception) or got.shape != truth[k].shape:
                return self._describe(name, got, truth[k], case)
        if reason := self.verdict(case, result):
            for mistake in self.mistakes:
                if self._agrees(mistake.knobs, [case], [result]):
                    return mistake.message
            return reason
        return ""
