"""Watch somebody else's training loop: probes, verdicts and an ordinary study around two plain modules."""

from ganbench.monitor.monitor import Monitor, TrainingStopped

__all__ = ["Monitor", "TrainingStopped"]
