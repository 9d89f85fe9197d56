"""What schemathesis must know of the app beyond its OpenAPI document."""

import schemathesis

from foxapi_async.models import model_definition


@schemathesis.hook
def filter_body(context, body):
    """Leave out sizes in pixels that the model does not make: JSON Schema cannot say their ratio and area."""
    size = body.get("resolution") if isinstance(body, dict) else None
    if not isinstance(size, dict) or body.get("model") not in ("gpt-image-2", "gpt-image-2-limit"):
        return True
    rule = model_definition(body["model"]).field("resolution").pixels
    sides = [size.get("width"), size.get("height")]
    return not all(isinstance(side, int) and side > 0 for side in sides) or rule.allows(*sides)
