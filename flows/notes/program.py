"""Fill in a template of notes in a process of its own: `template` starts it by its path. It imports nothing of Slipway.

stdin: {"template": text, "values": {name: any}, "most": characters}. stdout: the text. Exit code 3: what is on stderr
is wrong with the template.
"""

import json
import resource
import sys

REFUSED = 3
_MEMORY = 1 << 30


def main() -> int:
    asked = json.load(sys.stdin)
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    # Strangers write templates. Nothing is loaded: there is no loader. Values are Markdown already, and not HTML.
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = 0
    try:
        for part in environment.from_string(asked["template"]).generate(asked["values"]):
            written += len(part)
            if written > asked["most"]:
                sys.stderr.write(f"it writes more than {asked['most']} characters\n")
                return REFUSED
            sys.stdout.write(part)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        sys.stderr.write(f"{f'line {line}: ' if line else ''}{error}\n")
        return REFUSED
    except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError, RecursionError) as error:
        sys.stderr.write(f"{error or type(error).__name__}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
