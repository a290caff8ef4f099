"""Prints what a version comes from, as a tree."""

from rich.text import Text
from rich.tree import Tree

from hub_speed.console.terminal import console, plain, print_json
from hub_speed.record import Ref
from hub_speed.versions.lineage import Version


def print_lineage(found: dict[Ref, Version], *, as_json: bool) -> None:
    """A version and below it, indented, what it was made from; what was shown above is only named again."""
    if as_json:
        print_json([_as_json(ref, version) for ref, version in found.items()], indent=1)
        return
    shown: set[Ref] = set()

    def add(parent: Tree, name: str, ref: Ref) -> None:
        branch = parent.add(_line(name, ref, found[ref], again=ref in shown))
        if ref not in shown:
            shown.add(ref)
            for each, source in found[ref].inputs.items():
                add(branch, each, source)

    root = next(iter(found))
    tree = Tree(_line("", root, found[root]))
    shown.add(root)
    for name, source in found[root].inputs.items():
        add(tree, name, source)
    console.print(tree)


def _line(name: str, ref: Ref, version: Version, *, again: bool = False) -> Text:
    """One version in the tree. Names come from other people's files, and are printed without control characters."""
    line = Text(f"{plain(name)} ← " if name else "", style="dim")
    line.append(plain(str(ref)), style="bold not dim")
    if again:
        return line.append("  see above", style="dim")
    if version.problem:
        return line.append(f"  {plain(version.problem)}", style="red not dim")
    facts = ["" if version.stage == name else version.stage, f"{version.rows:,} rows" if version.rows else ""]
    facts += [f"teacher {' + '.join(version.teachers)}" if version.teachers else ""]
    facts += [", ".join(filter(None, version.licences)) or "no licence stated"]
    return line.append(f"  {plain(' · '.join(filter(None, facts)))}", style="not dim")


def _as_json(ref: Ref, version: Version) -> dict[str, object]:
    inputs = {name: f"{each.kind}s/{each.version}" for name, each in version.inputs.items()}
    facts = {"stage": version.stage, "rows": version.rows, "teachers": version.teachers, "licences": version.licences}
    return {"version": f"{ref.kind}s/{ref.version}"} | facts | {"inputs": inputs, "problem": version.problem}
