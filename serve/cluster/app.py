"""Ray Serve application: one deployment for HTTP, another for networks and sessions.

``mfp serve --ray`` runs it. A configuration file of Ray Serve can run it as well
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

NAME = "mfp"  # name of the application
INGRESSES = 2  # one can end while the other serves
CALLS = 1000  # calls of a replica at a time; mfp's own limits come first. An open WebSocket counts as one
HEALTH_PERIOD = 2.0  # seconds until processes that do not call a replica notice that it is gone
LAST_CLICKS = 30.0  # seconds for a replica to finish running calls at shutdown


class Ingress:
    """The deployment that answers HTTP and WebSockets.

    Args:
        replicas: handle of the deployment that holds the sessions.
        settings: settings of the cluster.
    """

    def __init__(self, replicas: Any, settings: ClusterSettings) -> None:
        self._replicas, self._settings = replicas, settings

    def __serve_build_asgi_app__(self) -> Any:
        """Build the ASGI application; Ray Serve calls this in the process that answers."""
        service = RayService(self._replicas, open_store(self._settings.store))
        return create_app(service, self._settings.http_settings())


def application(settings: ClusterSettings | dict[str, Any]) -> Any:
    """Build the application for ``ray.serve.run``.

    Args:
        settings: settings of the cluster, or a dictionary of its fields, as in a configuration file.
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
        # All calls of a session go to one replica, found by consistent hashing without asking another process. Adding
        # or removing a replica moves only that replica's share. If it is gone, the next two on the ring take over.
        request_router_config=RequestRouterConfig(
            request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter",
            request_router_kwargs={"num_fallback_replicas": 2},
        ),
    )
    ingress: Any = serve.deployment(serve.ingress()(Ingress)).options(
        **common, ray_actor_options={"num_cpus": 0}, num_replicas=INGRESSES
    )
    return ingress.bind(sessions.bind(settings), settings)
