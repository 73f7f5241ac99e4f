"""ModelServer of Kthena and of MatrixInfer, under either group: which of its two forms a resource is written in."""

from proxy.config.assembly import Assembly
from proxy.config.kthena.crd_server import read_crd_server
from proxy.config.kthena.documented_server import read_documented_server
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import Form, declare, form_of

_DOCUMENTED = Form(("modelInferRef", "service", "routing", "rateLimit", "authentication", "tls"))
_CRD = Form(("workloadSelector", "inferenceEngine", "model", "workloadPort", "trafficPolicy", "kvConnector"))


def read_model_server(resource: Resource, assembly: Assembly) -> None:
    """Add a ModelServer, and the route of its own that its documented form has, to the assembly."""
    declare("server", resource.key, resource, assembly)
    if resource.spec is None:
        return
    form = form_of(resource, resource.spec, (_DOCUMENTED, _CRD), assembly.problems)
    if form is _DOCUMENTED:
        read_documented_server(resource, resource.spec, assembly)
    elif form is _CRD:
        read_crd_server(resource, resource.spec, assembly)
