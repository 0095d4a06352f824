"""The server as an application of Ray Serve: HTTP in one deployment, networks and sessions in another.

``mfp serve --ray`` runs it; so does a configuration file of Ray Serve
(``import_path: mfp.serve.cluster.app:application``), with the fields of
:class:`~mfp.serve.cluster.settings.ClusterSettings` as ``args``.
"""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve.config import RequestRouterConfig

from ..http.app import create_app
from ..stores import open_store
from .service import RayService, SessionReplica
from .settings import ClusterSettings

NAME = "mfp"  # of the application
INGRESSES = 2  # so that one can end
CALLS = (
    1000  # that a replica takes at a time: mfp's own limits come first. A WebSocket is one, for as long as it is open
)
HEALTH_PERIOD = 2.0  # seconds until a replica that is gone is noticed by who does not call it
LAST_CLICKS = 30.0  # seconds that a replica has for what it has begun, when it is to end


class Ingress:
    """HTTP and WebSockets.

    Args:
        replicas: handle of the deployment that holds the sessions.
        settings: of the cluster.
    """

    def __init__(self, replicas: Any, settings: ClusterSettings) -> None:
        self._replicas, self._settings = replicas, settings

    def __serve_build_asgi_app__(self) -> Any:
        """What Ray Serve calls in the process that answers."""
        service = RayService(self._replicas, open_store(self._settings.store))
        return create_app(service, self._settings.http_settings())


def application(settings: ClusterSettings | dict[str, Any]) -> Any:
    """The application, for ``ray.serve.run``.

    Args:
        settings: or its fields, as a configuration file has them.
    """
    settings = ClusterSettings.model_validate(settings)
    common: dict[str, Any] = {
        "max_ongoing_requests": CALLS,
        "health_check_period_s": HEALTH_PERIOD,
        "graceful_shutdown_timeout_s": LAST_CLICKS,
    }
    sessions: Any = serve.deployment(SessionReplica).options(
        **common,
        ray_actor_options={"num_cpus": settings.cpus, "num_gpus": settings.gpus},
        num_replicas=None,
        autoscaling_config={
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.busy,
        },
        # A session's calls all go to one replica, which is found without asking anyone; with a replica more or less
        # only that one's share moves. Where it is gone, the next two on the ring take over.
        request_router_config=RequestRouterConfig(
            request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter",
            request_router_kwargs={"num_fallback_replicas": 2},
        ),
    )
    ingress: Any = serve.deployment(serve.ingress()(Ingress)).options(
        **common, ray_actor_options={"num_cpus": 0}, num_replicas=INGRESSES
    )
    return ingress.bind(sessions.bind(settings), settings)
