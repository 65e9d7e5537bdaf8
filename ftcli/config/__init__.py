"""Every option, declared once: its type, its default, its unit, its checks.

A command's options are a frozen dataclass; a shared option is inherited, never repeated. `cli.options` turns a class
into a Typer signature, the report stores it, the documentation is printed from it. Nothing heavy is imported.
"""
