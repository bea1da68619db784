"""The table of diagnostic codes, one module a stage. A code is never reused once released.

| range | stage                                     | exit code            |
|-------|-------------------------------------------|----------------------|
| 0xx   | text: YAML, encoding, size                | 3                    |
| 1xx   | schema: keys, types, values; 12x: images  | 3                    |
| 2xx   | rules between fields                      | 3                    |
| 3xx   | references and data                       | 3                    |
| 4xx   | budget and policy                         | 4                    |
| 5xx   | lock, saved plan, integrity               | 2, 5 or 6            |
| 6xx   | environment and run                       | 1                    |
| 7xx   | several processes; use of runs            | 1, 5, 6, 7, 8 or 64  |
"""

from ftc.spec.codes import (
    budget,
    environment,
    exports,
    hosted,
    images,
    kernels,
    launching,
    lineage,
    locking,
    numbers,
    packages,
    parameters,
    precisions,
    prompts,
    reading,
    references,
    results,
    rewards,
    rows,
    rules,
    schema,
    sharing,
    storing,
    strategies,
    sweeps,
    text,
    tokens,
    tracking,
    uses,
    vectors,
    verbs,
    vocabulary,
    writers,
)
from ftc.spec.codes._code import Code, Severity

__all__ = ["CODES", "Code", "Severity"]

CODES: dict[str, Code] = {
    code.id: code
    for module in (
        text,
        schema,
        rules,
        results,
        prompts,
        strategies,
        numbers,
        parameters,
        vocabulary,
        precisions,
        references,
        tokens,
        rows,
        reading,
        images,
        budget,
        rewards,
        writers,
        packages,
        lineage,
        locking,
        sweeps,
        environment,
        kernels,
        vectors,
        verbs,
        exports,
        launching,
        storing,
        tracking,
        uses,
        sharing,
        hosted,
    )
    for code in module.CODES
}
"""Every code by its identifier."""
