"""Kinds of import-linter contract that `.importlinter` uses and import-linter itself does not have."""

import sys
from collections.abc import Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def within(module: str, package: str) -> bool:
    """Whether a module is a package or stands inside it."""
    return module == package or module.startswith(package + ".")


class PublicFacesOnly(Contract):
    """Each child of `container` may be imported by its siblings through the files named in `public` only.

    Importing the child package itself is allowed too: it holds a docstring, and `from package import api` names it.
    """

    type_name = "public_faces_only"

    container = fields.StringField()
    public = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        crossings = sorted(self._crossings(graph))
        return ContractCheck(kept=not crossings, metadata={"crossings": crossings})

    def _crossings(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        container, public = str(self.container), set(self.public)  # type: ignore[call-overload]
        for module in graph.find_children(container):
            for private in graph.find_descendants(module):
                face = private[len(module) + 1 :].split(".")[0]
                if face in public:
                    continue
                for importer in graph.find_modules_that_directly_import(private):
                    if within(importer, container) and not within(importer, module):
                        yield importer, private

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, private in check.metadata["crossings"]:
            output.print_error(f"- {importer} imports {private}, which is private to its module", bold=True)


class StandardLibraryOnly(Contract):
    """`modules` reach, directly or through other code of ours, nothing but the standard library and `allowed`."""

    type_name = "standard_library_only"

    modules = fields.SetField(subfield=fields.ModuleExpressionField())
    allowed = fields.SetField(subfield=fields.StringField(), required=False, default=set())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        allowed = {str(name) for name in self.allowed}  # type: ignore[attr-defined]
        foreign = {
            module
            for module in graph.modules
            if graph.is_module_squashed(module)
            and module.split(".")[0] not in sys.stdlib_module_names
            and module.split(".")[0] not in allowed
        }
        chains = sorted(
            chain
            for expression in self.modules  # type: ignore[attr-defined]
            for module in self._modules(graph, str(expression))
            for library in foreign
            if (chain := graph.find_shortest_chain(importer=module, imported=library))
        )
        return ContractCheck(kept=not chains, metadata={"chains": chains})

    def _modules(self, graph: ImportGraph, expression: str) -> set[str]:
        found = graph.find_matching_modules(expression)
        return found.union(*(graph.find_descendants(module) for module in found))

    def render_broken_contract(self, check: ContractCheck) -> None:
        for chain in check.metadata["chains"]:
            output.print_error("- " + " -> ".join(chain), bold=True)
