"""What schemathesis must know of the app beyond its OpenAPI document."""

import schemathesis

from foxapi_async.models import model_definition


@schemathesis.hook
def filter_case(context, case):
    """Leave out what the service refuses although the schema allows it.

    JSON Schema cannot say the ratio and the area of sizes in pixels. And the service makes ten images at most, also for
    models whose pages do not say so. A filter of bodies would not see the requests of the coverage phase.
    """
    body = case.body
    if not isinstance(body, dict):
        return True
    count = body.get("num_outputs")
    if isinstance(count, int | float) and count > 10:
        return False
    size = body.get("resolution")
    if not isinstance(size, dict) or body.get("model") not in ("gpt-image-2", "gpt-image-2-limit"):
        return True
    rule = model_definition(body["model"]).field("resolution").pixels
    sides = [size.get("width"), size.get("height")]
    return not all(isinstance(side, int | float) and side > 0 for side in sides) or rule.allows(*sides)
