"""ModelRoute of Kthena and of MatrixInfer, under either group: which of its two forms a resource is written in."""

from proxy.config.assembly import Assembly
from proxy.config.kthena.crd_route import read_crd_route
from proxy.config.kthena.documented_route import read_documented_route
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import Form, declare, form_of

_DOCUMENTED = Form(("routes", "fallback", "canary"))
_CRD = Form(("rules", "modelName", "loraAdapters", "parentRefs", "rateLimit"))


def read_model_route(resource: Resource, assembly: Assembly) -> None:
    """Add a ModelRoute to the assembly."""
    declare("route", resource.key, resource, assembly)
    if resource.spec is None:
        return
    form = form_of(resource, resource.spec, (_DOCUMENTED, _CRD), assembly.problems)
    if form is None:
        return
    read = read_documented_route if form is _DOCUMENTED else read_crd_route
    before = assembly.problems.errors
    route = read(resource, resource.spec, assembly)
    assembly.add_route(route, sound=assembly.problems.errors == before, age=resource.age)
