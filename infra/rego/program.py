"""Evaluate Rego in a process of its own: `evaluator` starts it by its path. It imports nothing of Slipway.

stdin: {"modules": {name: text}, "input": any, "queries": [text]}. stdout: a list with the value of each query, null for
an undefined one. Exit code 3: what is on stderr is wrong with the modules.
"""

import json
import os
import resource
import sys

REFUSED = 3


def main() -> int:
    asked = json.load(sys.stdin)
    # The engine aborts where memory ends.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # It writes for people to stdout.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from regopy import Interpreter, Output, RegoError
    from regopy.rego_shared import rego_node_get, rego_node_size, rego_node_value

    def what_failed(output: Output) -> str:
        """The engine's errors while it evaluated, each with what it was about: as text it says `<error>` alone."""
        lines = []
        errors = output.node()._impl
        for number in range(rego_node_size(errors)):
            message, about = (rego_node_get(rego_node_get(errors, number), each) for each in (0, 1))
            near = [rego_node_value(rego_node_get(about, each)) for each in range(rego_node_size(about))]
            lines.append(": ".join(filter(None, (rego_node_value(message), *near))))
        return "\n".join(lines)

    engine = Interpreter()
    # A function that fails must not look like a rule that does not match.
    engine.strict_built_in_errors = True
    try:
        for name, text in asked["modules"].items():
            engine.add_module(name, text)
        engine.set_input(asked["input"])
        values = []
        for query in asked["queries"]:
            output = engine.query(query)
            if not output.ok():
                sys.stderr.write(f"{what_failed(output)}\n")
                return REFUSED
            values.append(_value(str(output)))
    except RegoError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    json.dump(values, answer)
    answer.close()
    return 0


def _value(answer: str) -> object:
    # `undefined` is no JSON; otherwise an object with the value of each expression.
    return None if answer == "undefined" else json.loads(answer)["expressions"][0]


if __name__ == "__main__":
    sys.exit(main())
