//! Checks the types of a parsed query, so that the evaluator meets only what it knows.

use super::{
    Fault,
    ast::{Binary, Expr, Node, ValueType},
    functions::Function,
    parser::wrong_type,
};

pub(super) fn check(node: &Node) -> Result<(), Fault> {
    match &node.expr {
        Expr::Number(_) | Expr::Text(_) | Expr::Instant(_) | Expr::Range(..) => Ok(()),
        Expr::Negate(of) => {
            check(of)?;
            match of.expr.value_type() {
                ValueType::Scalar | ValueType::Instant => Ok(()),
                other => Err(Fault::new(
                    node.at,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                        other.name()
                    ),
                )),
            }
        }
        Expr::Call(function, args) => call(node.at, *function, args),
        Expr::Aggregate(aggregate) => {
            check(&aggregate.of)?;
            expect(&aggregate.of, ValueType::Instant, "aggregation expression")
        }
        Expr::Binary(b) => binary(b),
    }
}

fn expect(node: &Node, expected: ValueType, context: &str) -> Result<(), Fault> {
    if node.expr.value_type() == expected {
        Ok(())
    } else {
        Err(wrong_type(node, expected, context))
    }
}

fn call(at: usize, function: Function, args: &[Node]) -> Result<(), Fault> {
    let signature = function.signature();
    let (most, least) = (signature.args.len(), signature.args.len() - signature.optional);
    let bound = match args.len() {
        n if n < least && signature.optional == 0 => Some(format!("expected {least} argument(s)")),
        n if n < least => Some(format!("expected at least {least} argument(s)")),
        n if n > most && signature.optional == 0 => Some(format!("expected {most} argument(s)")),
        n if n > most => Some(format!("expected at most {most} argument(s)")),
        _ => None,
    };
    if let Some(bound) = bound {
        return Err(Fault::new(
            at,
            format!("{bound} in call to \"{}\", got {}", signature.name, args.len()),
        ));
    }
    for (arg, expected) in args.iter().zip(signature.args) {
        check(arg)?;
        expect(
            arg,
            *expected,
            &format!("call to function \"{}\"", signature.name),
        )?;
    }
    Ok(())
}

fn binary(b: &Binary) -> Result<(), Fault> {
    for side in [&b.left, &b.right] {
        check(side)?;
        if !matches!(side.expr.value_type(), ValueType::Scalar | ValueType::Instant) {
            let message = "binary expression must contain only scalar and instant vector types";
            return Err(Fault::new(side.at, message));
        }
    }
    let scalar = |node: &Node| node.expr.value_type() == ValueType::Scalar;
    let (left, right) = (scalar(&b.left), scalar(&b.right));
    if left && right && b.op.is_comparison() && !b.as_bool {
        return Err(Fault::new(
            b.left.at,
            "comparisons between scalars must use BOOL modifier",
        ));
    }
    if (left || right) && b.op.is_set() {
        let message = format!(
            "set operator \"{}\" not allowed in binary scalar expression",
            b.op.symbol()
        );
        return Err(Fault::new(b.left.at, message));
    }
    if (left || right) && b.matching.explicit {
        return Err(Fault::new(
            b.left.at,
            "vector matching only allowed between instant vectors",
        ));
    }
    Ok(())
}
